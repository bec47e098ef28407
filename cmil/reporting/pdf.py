"""A report as a PDF: text and tables by ReportLab, figures as vectors by pypdf.

ReportLab draws no figure of another program as vectors; so it leaves room for each, and the
figure's own PDF is laid there afterwards.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from pypdf import PdfReader, PdfWriter, Transformation
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    KeepTogether,
    PageTemplate,
    Paragraph,
    Spacer,
)
from reportlab.platypus import Table as Grid

from cmil import __version__
from cmil.reporting.contents import Figure, Report, Table

_MARGIN = 18 * mm
_PADDING = 6
# With less room left, a table begins on the next page.
_LEAST_OF_TABLE = 45 * mm
_WIDTH, _HEIGHT = A4[0] - 2 * _MARGIN, A4[1] - 2 * _MARGIN
# Two figures with their captions fit on a page.
_TALLEST = 0.43 * _HEIGHT
_QUIET, _RULE = colors.HexColor("#565656"), colors.HexColor("#d4d4d4")
# Longer words, which are digests, are broken.
_WIDEST_WORD = 25 * mm
# Wider letters than these do not fit beside each other any more.
_CELL_POINTS = {6: 7.5, 9: 6.5}
_FEW_POINTS = 5.5


@dataclass(frozen=True)
class _Laid:
    """Where a figure goes: page from 0, left bottom corner and scale."""

    name: str
    page: int
    x: float
    y: float
    scale: float


class _Room(Flowable):  # type: ignore[misc]
    """Keeps room for a figure, and remembers where."""

    def __init__(self, name: str, size: tuple[float, float], laid: list[_Laid]) -> None:
        super().__init__()
        self._name, self._laid = name, laid
        self._scale = min(1.0, _WIDTH / size[0], _TALLEST / size[1])
        self.width, self.height = size[0] * self._scale, size[1] * self._scale

    def draw(self) -> None:
        """Note the place; nothing is drawn yet."""
        x, y = self.canv.absolutePosition(0, 0)
        page = self.canv.getPageNumber() - 1
        self._laid.append(_Laid(self._name, page, x, y, self._scale))


def report_pdf(report: Report, drawn: Mapping[str, bytes]) -> bytes:
    """Write a report as PDF.

    Parameters
    ----------
    report
        What it says.
    drawn
        The PDF of each figure, by name.

    Returns
    -------
    The file's bytes; letters the font lacks (it has Latin, Greek and Cyrillic) stand as boxes.
    """
    figures = {name: PdfReader(io.BytesIO(content)).pages[0] for name, content in drawn.items()}
    sizes = {n: (float(p.mediabox.width), float(p.mediabox.height)) for n, p in figures.items()}
    laid: list[_Laid] = []
    text = io.BytesIO()
    document = BaseDocTemplate(
        text,
        pagesize=A4,
        title=report.title,
        author=f"cMIL {__version__}",
        subject=report.provenance,
        invariant=1,
    )
    frame = Frame(_MARGIN, _MARGIN, _WIDTH, _HEIGHT, 0, 0, 0, 0)
    document.addPageTemplates(PageTemplate(frames=[frame], onPage=_margins_of(report)))
    document.build(_story(report, sizes, laid))
    writer = PdfWriter(clone_from=io.BytesIO(text.getvalue()))
    for place in laid:
        moved = Transformation().scale(place.scale).translate(place.x, place.y)
        writer.pages[place.page].merge_transformed_page(figures[place.name], moved)
    whole = io.BytesIO()
    writer.write(whole)
    return whole.getvalue()


def _story(
    report: Report, sizes: Mapping[str, tuple[float, float]], laid: list[_Laid]
) -> list[Flowable]:
    story = [
        _text(report.title, "title"),
        _text("Research use only. Not a medical device: nothing here may guide care.", "warning"),
        _text(report.headline, "headline"),
    ]
    tables, figures = 0, 0
    for section in report.sections:
        opening = [_text(section.title, "heading")]
        opening += [_text(paragraph, "body") for paragraph in section.paragraphs]
        for part in section.parts:
            if isinstance(part, Figure):
                figures += 1
                room = _Room(part.name, sizes[part.name], laid)
                words = _text(f"Figure {figures}. {part.caption}", "caption")
                origin = _text(report.provenance, "origin")
                story.append(KeepTogether([*opening, room, words, origin]))
            else:
                tables += 1
                words = _text(f"Table {tables}. {part.caption}", "caption")
                least = _LEAST_OF_TABLE + sum(one.wrap(_WIDTH, _HEIGHT)[1] for one in opening)
                story += [CondPageBreak(least), *opening, words, _grid(part), Spacer(0, 4 * mm)]
            opening = []
        story += opening
    return story


def _grid(table: Table) -> Grid:
    shown = table.shown.astype(str)
    points = next((p for n, p in _CELL_POINTS.items() if shown.shape[1] <= n), _FEW_POINTS)
    style = _style("body", fontSize=points, leading=points * 1.25, spaceAfter=0)
    strong = _style("body", fontName="Bold", fontSize=points, leading=points * 1.25, spaceAfter=0)
    rows = [[Paragraph(escape(str(name)), strong) for name in shown.columns]]
    rows += [
        [Paragraph(escape(cell), style) for cell in row]
        for row in shown.itertuples(index=False, name=None)
    ]
    lines = [
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, colors.black),
        ("LINEBELOW", (0, 1), (-1, -1), 0.3, _RULE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), _PADDING - 1),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
    return Grid(rows, colWidths=_column_widths(shown, points), repeatRows=1, style=lines)


def _column_widths(shown: pd.DataFrame, points: float) -> Sequence[float]:
    """Give each column its longest word, and share the rest of the page by how much it says."""
    least, wanted = [], []
    for place, name in enumerate(shown.columns):
        texts = [str(name), *shown.iloc[:, place]]
        words = [word for text in texts for word in text.split(" ")]
        longest = max((_width_of(word, points) for word in words), default=0)
        least.append(min(longest, _WIDEST_WORD) + _PADDING)
        widths = [_width_of(text, points) for text in texts]
        wanted.append(min(max(widths), least[-1] + 2 * sum(widths) / len(widths)))
    missing = [max(0.0, w - m) for m, w in zip(least, wanted, strict=True)]
    left = (_WIDTH - sum(least)) / max(sum(missing), 1e-9)
    if left < 0:  # words of such a table are broken
        return [_WIDTH * width / sum(least) for width in least]
    return [width + left * more for width, more in zip(least, missing, strict=True)]


def _width_of(text: str, points: float) -> float:
    return float(pdfmetrics.stringWidth(text, _fonts()[1], points))


def _margins_of(report: Report) -> Callable[[Canvas, BaseDocTemplate], None]:
    """Draw what stands on every page beside the text."""

    def draw(canvas: Canvas, _document: BaseDocTemplate) -> None:
        canvas.saveState()
        canvas.setFont(_fonts()[0], 7)
        canvas.setFillColor(_QUIET)
        canvas.drawString(_MARGIN, 10 * mm, f"Research use only. {report.provenance}")
        canvas.drawRightString(A4[0] - _MARGIN, 10 * mm, str(canvas.getPageNumber()))
        canvas.restoreState()

    return draw


def _text(text: str, kind: str) -> Paragraph:
    return Paragraph(escape(text), _style(kind))


def _style(kind: str, **changed: object) -> ParagraphStyle:
    regular, bold = _fonts()
    kinds: Mapping[str, Mapping[str, object]] = {
        "body": {"fontSize": 9, "leading": 12.5, "spaceAfter": 5},
        "title": {"fontName": bold, "fontSize": 17, "leading": 21, "spaceAfter": 8},
        "warning": {"fontName": bold, "fontSize": 9, "leading": 12, "spaceAfter": 8,
                    "borderColor": colors.HexColor("#a84300"), "borderWidth": 1, "borderPadding": 4,
                    "spaceBefore": 4},
        "headline": {"fontSize": 11, "leading": 15, "spaceBefore": 6, "spaceAfter": 8},
        "heading": {"fontName": bold, "fontSize": 12, "leading": 15, "spaceBefore": 12,
                    "spaceAfter": 5, "keepWithNext": 1},
        "caption": {"fontSize": 8, "leading": 10.5, "spaceBefore": 4, "spaceAfter": 3},
        "origin": {"fontSize": 6, "leading": 8, "textColor": _QUIET, "spaceAfter": 8},
    }  # fmt: skip
    chosen = {"fontName": regular, **kinds[kind], **changed}
    if chosen["fontName"] == "Bold":
        chosen["fontName"] = bold
    return ParagraphStyle(kind, **chosen)


@lru_cache(maxsize=1)
def _fonts() -> tuple[str, str]:
    """Register matplotlib's own font, which the figures are set in, too."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    names = ("DejaVuSans", "DejaVuSans-Bold")
    for name in names:
        pdfmetrics.registerFont(TTFont(name, folder / f"{name}.ttf"))
    return names
