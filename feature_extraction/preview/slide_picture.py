"""One picture a slide: which patches were kept, which dropped and why, and what they look like."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cohorts.errors import FileFormatError
from cohorts.manifest import MPP_RANGE, Slide
from feature_extraction.bags import Attribute
from feature_extraction.candidates import Candidates
from feature_extraction.preview.patch_painting import colour_of, paint_patches, swatch
from feature_extraction.preview.picture_layout import (
    INK,
    MARGIN,
    QUIET,
    draw_scale_bar,
    font,
    framed,
    length_text,
    paragraph,
    shortened,
    side_by_side,
    stacked,
)
from feature_extraction.sources import Canvas, Source, open_source
from feature_extraction.sources.canvas import Rgb, padded_to_square, resized
from feature_extraction.units import Level0Px, PatchPx

WIDTH = 1960
EXAMPLES = 8
MOST_FIELDS, MOST_CELLS = 48, 120
_GAP = 6
_LEGEND = 440
_OVERVIEW = (WIDTH - 2 * MARGIN - _LEGEND - MARGIN, 1000)
_NAME = 18
_FRAME = 5
_LARGEST_PATCH = 65_536  # px; more is no patch, and its pixels would not fit in memory


@dataclass(frozen=True)
class _Scene:
    """A slide, what became of its patches, and where its pixels are."""

    slide: Slide
    candidates: Candidates
    source: Source

    @property
    def are_cells(self) -> bool:
        """Whether patches are whole images of single cells."""
        return self.candidates.attributes.get("images_are") == "cells"

    @property
    def side(self) -> int:
        """Side of a patch in level-0 px."""
        return self._pixels("patch_size_level0", self.candidates.grid.get("patch_size_level0"))

    @property
    def patch_px(self) -> int:
        """Side of a patch as the encoder saw it."""
        stated = self.candidates.attributes.get("patch_px")
        return self._pixels("patch_size", stated or self.candidates.grid.get("patch_size"))

    def _pixels(self, name: str, stated: Attribute | None) -> int:
        if not isinstance(stated, int | float) or not 1 <= stated <= _LARGEST_PATCH:
            raise FileFormatError(
                f'bag "{self.slide.slide_id}" states "{name}" as {stated}, so its patches cannot '
                "be drawn; give their side in pixels in the attributes of coords"
            )
        return int(stated)

    @property
    def mpp(self) -> float | None:
        """Microns per level-0 px, where they are known."""
        stated = self.candidates.attributes.get("mpp_read")
        if isinstance(stated, int | float) and MPP_RANGE[0] <= stated <= MPP_RANGE[1]:
            return float(stated)
        return self.slide.mpp

    @property
    def image_index(self) -> NDArray[np.int32]:
        """(N,) canvas of each patch."""
        index = self.candidates.image_index
        return np.zeros(len(self.candidates), dtype=np.int32) if index is None else index


def draw_preview(slide: Slide, candidates: Candidates, centre: str) -> Image.Image:
    """Draw the slide, its patches coloured by reason, and examples of each reason.

    Above, the whole slide, or a contact sheet of at most 48 of its fields or 120 of its cells,
    spread evenly over all; glass that was never a candidate stays plain. Below, for each reason,
    up to eight patches spread over the slide, as the encoder saw them.

    Parameters
    ----------
    slide
        Where the pixels are.
    candidates
        The bag of that slide.
    centre
        Of its patient.

    Raises
    ------
    ImageError
        If an image can no longer be read.
    FileFormatError
        If the bag is of other images than the slide's, or does not state the size of a patch.
    """
    icc = candidates.attributes.get("icc") != "ignored"  # as the patches were read
    scene = _Scene(slide, candidates, open_source(slide, icc=icc))
    if candidates.images and candidates.images != tuple(scene.source.names):
        raise _of_other_images(slide)
    overview = _contact_sheet(scene) if len(scene.source.names) > 1 else _whole_slide(scene)
    inner = WIDTH - 2 * MARGIN
    parts = [
        paragraph(
            f"{slide.slide_id}  \N{MIDDLE DOT}  patient {slide.patient_id}  \N{MIDDLE DOT}  "
            f"centre {centre}",
            inner,
            26,
            bold=True,
        ),
        paragraph(_facts(scene), inner, 19, colour=QUIET),
        overview,
        *_examples(scene),
        paragraph(
            "Research use only. What a rule dropped is no finding: a dropped patch may hold "
            "diagnostic cells.",
            inner,
            16,
            colour=QUIET,
        ),
    ]
    return framed(stacked(parts, gap=14))


def _of_other_images(slide: Slide) -> FileFormatError:
    return FileFormatError(
        f'slide "{slide.slide_id}" (manifest row {slide.row}) holds other images than when its '
        "bag was made; run cmil extract again"
    )


def _facts(scene: _Scene) -> str:
    attributes, kept = scene.candidates.attributes, int(scene.candidates.kept.sum())
    resolution = "resolution unknown"
    width = f"{scene.patch_px} px"
    if scene.mpp:
        resolution = f"{scene.mpp:.4g} \N{MICRO SIGN}m per pixel"
        width += f" = {length_text(scene.side * scene.mpp)}"
    if scene.are_cells:
        width = f"{scene.patch_px} px, whole cells"
    facts = [
        resolution,
        f"patch {width}",
        f"{len(scene.candidates):,} candidates: {kept:,} kept, {len(scene.candidates) - kept:,} "
        "dropped",
        f"encoder {attributes.get('encoder', 'not stated')}",
        f"stain normalisation: {attributes.get('stain', 'not stated')}",
    ]
    return "  \N{MIDDLE DOT}  ".join(facts)


def _whole_slide(scene: _Scene) -> Image.Image:
    """Put the coloured slide beside the legend, and below that the slide as it is."""
    legend = _legend(scene)
    with scene.source.open(0) as canvas:
        width, height = canvas.dimensions
        grid = scene.candidates.grid
        stated = grid.get("level0_width", width), grid.get("level0_height", height)
        if stated != (width, height) and not scene.are_cells:
            raise _of_other_images(scene.slide)
        shown = _shown(canvas, _OVERVIEW)
        room = WIDTH - 3 * MARGIN - shown.shape[1], max(1, _OVERVIEW[1] - legend.height - 50)
        plain = _shown(canvas, room)
    picture = Image.fromarray(_painted(scene, shown, 0, (width, height)))
    if scene.mpp:
        draw_scale_bar(picture, scene.mpp * width / picture.width)
    heading = paragraph("Without colours", _LEGEND, 20, bold=True)
    column = stacked([legend, stacked([heading, Image.fromarray(plain)])], gap=20)
    return side_by_side([picture, column])


def _shown(canvas: Canvas, box: tuple[int, int]) -> Rgb:
    """Give the whole canvas, as large as `box` (width, height) has room for."""
    width, height = canvas.dimensions
    factor = min(box[0] / width, box[1] / height)
    size = max(1, int(width * factor)), max(1, int(height * factor))
    return resized(canvas.thumbnail(max(size)), *size)


def _painted(scene: _Scene, shown: Rgb, image: int, dimensions: tuple[int, int]) -> Rgb:
    inside = scene.image_index == image
    side = max(dimensions) if scene.are_cells else scene.side
    coords, reason = scene.candidates.coords[inside], scene.candidates.reason[inside]
    return paint_patches(shown, coords, reason, side, dimensions)


def _contact_sheet(scene: _Scene) -> Image.Image:
    """Put some of the fields or cells, each with its patches, beside the legend."""
    count = len(scene.source.names)
    chosen = spread(np.arange(count), MOST_CELLS if scene.are_cells else MOST_FIELDS)
    with scene.source.open(0) as canvas:
        width, height = canvas.dimensions
    note = f"{len(chosen)} of {count:,} {'cells' if scene.are_cells else 'fields'}"
    note += ", spread evenly over all of them" if len(chosen) < count else ""
    note += f"; the first is {length_text(width * scene.mpp)} wide" if scene.mpp else ""
    heading = paragraph(note, _OVERVIEW[0], 19, bold=True)
    box = _panel_size((width, height), len(chosen), _OVERVIEW[1] - heading.height)
    columns = (_OVERVIEW[0] + _GAP) // (box[0] + _GAP)
    rows = -(-len(chosen) // columns)
    sheet = Image.new("RGB", (_OVERVIEW[0], rows * (box[1] + _NAME + _GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, image in enumerate(chosen.tolist()):
        x = place % columns * (box[0] + _GAP)
        y = place // columns * (box[1] + _NAME + _GAP)
        with scene.source.open(image) as canvas:
            painted = _painted(scene, _shown(canvas, box), image, canvas.dimensions)
        sheet.paste(Image.fromarray(painted), (x, y))
        name = shortened(scene.source.names[image], font(12), box[0])
        draw.text((x, y + box[1] + 1), name, fill=QUIET, font=font(12))
    return side_by_side([stacked([heading, sheet]), _legend(scene)])


def _panel_size(shape: tuple[int, int], count: int, height: int) -> tuple[int, int]:
    """Find the largest panels of one shape of which `count` fit into the overview."""
    best = (1, 1)
    for columns in range(1, count + 1):
        across = (_OVERVIEW[0] + _GAP) // columns - _GAP
        down = height // -(-count // columns) - _GAP - _NAME
        factor = min(across / shape[0], down / shape[1])
        best = max(best, (int(shape[0] * factor), int(shape[1] * factor)))
    return best


def _legend(scene: _Scene) -> Image.Image:
    candidates = scene.candidates
    counts = candidates.counts()
    what = "cell" if scene.are_cells else "patch"
    rows = [paragraph(f"What became of each {what}", _LEGEND, 20, bold=True)]
    for reason, (name, count) in enumerate(counts.items()):
        words = name if reason == 0 else f"dropped: {name}"
        share = f"{count:,}  ({share_text(count, len(candidates))})"
        row = Image.new("RGB", (_LEGEND, 42), "white")
        row.paste(Image.fromarray(swatch(reason, 34)), (0, 4))
        draw = ImageDraw.Draw(row)
        tail = round(font(18).getlength(share))
        draw.text((_LEGEND, 21), share, fill=INK, font=font(18), anchor="rm")
        room = _LEGEND - 46 - tail - 10
        draw.text((46, 21), shortened(words, font(18), room), fill=INK, font=font(18), anchor="lm")
        rows.append(row)
    if not scene.are_cells:
        plain = "Not coloured: glass or pale areas, never candidates"
        rows.append(paragraph(plain, _LEGEND, 16, colour=QUIET))
    return stacked([*rows, *_measures(candidates)], gap=4)


def _measures(candidates: Candidates) -> list[Image.Image]:
    """Medians of each quality measure, of what was kept beside what was dropped."""
    columns = {"kept": candidates.kept, "dropped": ~candidates.kept}
    columns = {name: rows for name, rows in columns.items() if rows.any()}
    heading = paragraph("Quality, median", _LEGEND, 20, bold=True)
    if not candidates.quality:
        return [heading, paragraph("not measured", _LEGEND, 16, colour=QUIET)]
    lines = [("", list(columns))]
    for measure, values in candidates.quality.items():
        lines.append((measure, [_median_text(values[rows]) for rows in columns.values()]))
    table = Image.new("RGB", (_LEGEND, 27 * len(lines)), "white")
    draw = ImageDraw.Draw(table)
    for number, (name, values_of) in enumerate(lines):
        y = 27 * number + 13
        draw.text((0, y), shortened(name, font(17), 220), fill=INK, font=font(17), anchor="lm")
        for column, text in enumerate(values_of):
            draw.text((320 + 120 * column, y), text, fill=INK, font=font(17), anchor="rm")
    return [Image.new("RGB", (1, 14), "white"), heading, table]


def _median_text(values: NDArray[np.float32]) -> str:
    return f"{np.median(values):.3g}" if len(values) else "none"


def _examples(scene: _Scene) -> list[Image.Image]:
    counts = list(scene.candidates.counts().items())
    chosen = {
        reason: spread(np.flatnonzero(scene.candidates.reason == reason), EXAMPLES)
        for reason in range(len(counts))
    }
    side = (WIDTH - 2 * MARGIN + _GAP) // EXAMPLES - _GAP - 2 * _FRAME
    pixels = _pixels_of(scene, np.concatenate(list(chosen.values())), side)
    strips = []
    for reason, rows in chosen.items():
        if len(rows):
            name, count = counts[reason]
            words = "Kept" if reason == 0 else f"Dropped: {name}"
            title = f"{words}, {len(rows)} of {count:,}"
            shown = [_in_frame(pixels[row], colour_of(reason)) for row in rows.tolist()]
            heading = paragraph(title, WIDTH - 2 * MARGIN, 19, bold=True)
            strips.append(stacked([heading, side_by_side(shown, _GAP)]))
    note = f"As the encoder saw them ({scene.patch_px} px)"
    if scene.patch_px > side:
        note += f", shrunk to {side} px"
    return [
        *strips,
        paragraph(f"{note}, before colour normalisation.", WIDTH - 2 * MARGIN, 16, colour=QUIET),
    ]


def _pixels_of(scene: _Scene, rows: NDArray[np.intp], side: int) -> Mapping[int, Rgb]:
    """Read patches, opening each image once, at working resolution or what `side` has room for."""
    pixels = {}
    for image in np.unique(scene.image_index[rows]).tolist():
        with scene.source.open(image) as canvas:
            for row in rows[scene.image_index[rows] == image].tolist():
                pixels[row] = _enlarged(_patch(scene, canvas, row), side)
    return pixels


def _patch(scene: _Scene, canvas: Canvas, row: int) -> Rgb:
    if scene.are_cells:
        whole = padded_to_square(canvas.thumbnail(max(canvas.dimensions)))
        return resized(whole, scene.patch_px, scene.patch_px)
    x, y = scene.candidates.coords[row].tolist()
    out = PatchPx(scene.patch_px)
    return canvas.read_region(Level0Px(x), Level0Px(y), Level0Px(scene.side), out)


def _enlarged(patch: Rgb, side: int) -> Rgb:
    """Shrink a patch to `side`, or enlarge it by a whole number, which invents no sharpness."""
    if len(patch) > side:
        return resized(patch, side, side)
    zoom = side // len(patch)
    return np.asarray(cv2.resize(patch, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST))


def _in_frame(patch: Rgb, colour: tuple[int, int, int]) -> Image.Image:
    size = len(patch) + 2 * _FRAME
    sheet = Image.new("RGB", (size, size), colour)
    sheet.paste(Image.fromarray(patch), (_FRAME, _FRAME))
    return sheet


def share_text(part: int, whole: int) -> str:
    """Give a share in percent, so that neither none nor all is said of what is nearly so."""
    if 0 < part < 0.005 * whole:
        return "< 1%"
    if 0.995 * whole < part < whole:
        return "> 99%"
    return f"{part / whole:.0%}"


def spread(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Choose at most `most` rows, evenly over their order and the same ones each time."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.intp)]
