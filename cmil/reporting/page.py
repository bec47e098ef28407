"""A report as one page that needs no other file."""

from cmil import __version__
from cmil.figures import inline_svg
from cmil.pages import page_templates
from cmil.reporting.contents import Figure, Report


def report_page(report: Report) -> str:
    """Write a report as HTML; figures stand in it as SVG, their text as text."""
    drawn = {
        figure.name: inline_svg(figure.drawing, figure.description) for figure in report.figures
    }
    template = page_templates({"is_figure": _is_figure}).get_template("study_report.html.j2")
    return template.render(report=report, drawn=drawn, version=__version__)


def _is_figure(part: object) -> bool:
    return isinstance(part, Figure)
