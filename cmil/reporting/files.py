"""Write a report: page, PDF, tables as CSV, figures as SVG and PDF."""

import io
from pathlib import Path

from cmil.reporting.contents import Figure, Report
from cmil.reporting.page import report_page
from cmil.reporting.pdf import report_pdf
from cohorts.files import whole_file, write_text
from survival.figure_file import save_figure


def write_report_files(report: Report, folder: Path) -> list[Path]:
    """Write `report.html`, `report.pdf`, `tables/*.csv`, `figures/*.svg` and `figures/*.pdf`.

    The same report gives the same bytes. Text in figures stays text.

    Returns
    -------
    Everything that was written.
    """
    drawn = {figure.name: drawn_as(figure, "pdf", report.provenance) for figure in report.figures}
    page, document = folder / "report.html", folder / "report.pdf"
    write_text(page, report_page(report))
    _write_bytes(document, report_pdf(report, drawn))
    written = [page, document]
    for table in report.tables:
        written.append(folder / "tables" / f"{table.name}.csv")
        write_text(written[-1], table.numbers.to_csv(index=False))
    for figure in report.figures:
        for kind in ("svg", "pdf"):
            written.append(folder / "figures" / f"{figure.name}.{kind}")
            content = drawn[figure.name] if kind == "pdf" else drawn_as(figure, kind, "")
            _write_bytes(written[-1], content)
    return written


def drawn_as(figure: Figure, kind: str, provenance: str) -> bytes:
    """Give a figure as the bytes of an SVG or PDF file; its metadata say where it comes from."""
    file = io.BytesIO()
    metadata = {"Title": figure.description}
    if kind == "pdf":
        metadata["Subject"] = provenance
    save_figure(figure.drawing, file, kind, figure.name, metadata)
    # What was laid out once need not be for the next file, and stands at the same places.
    figure.drawing.set_layout_engine("none")
    return file.getvalue()


def _write_bytes(path: Path, content: bytes) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(content)
