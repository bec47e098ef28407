"""One picture a patient: where the model looked, and what it saw there beside what it did not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cmil.attention import SlideAttention
from cmil.explanations.concentration import TOP_PERCENT, held_text, share_held
from cmil.heatmap import ColourScale, Rgb, overlay
from cmil.patch_map import patch_map
from cohorts.errors import FileFormatError
from cohorts.manifest import Slide
from feature_extraction.bags import Bag
from feature_extraction.preview.picture_layout import (
    INK,
    MARGIN,
    QUIET,
    font,
    side_by_side,
    stacked,
)
from feature_extraction.sources import Canvas, Source, open_source
from feature_extraction.sources.canvas import padded_to_square, resized
from feature_extraction.units import Level0Px, PatchPx

GALLERY = 12
_COLUMNS = 6
_TILE = 120
_GAP = 6
_OVERVIEW = (620, 560)
_BAR = 26
_LINE = 18


@dataclass(frozen=True)
class ReadSlide:
    """A slide with all that the picture needs of it."""

    slide: Slide
    bag: Bag
    attention: SlideAttention

    @property
    def are_cells(self) -> bool:
        """Whether instances are whole images of single cells."""
        return self.bag.attributes.get("images_are") == "cells"

    @property
    def side(self) -> int:
        """Side of a patch in level-0 px."""
        side = self.bag.grid.get("patch_size_level0")
        if side is None:
            raise FileFormatError(
                f'bag "{self.slide.slide_id}" does not state patch_size_level0, so its patches '
                "cannot be drawn; add it to the attributes of coords"
            )
        return int(side)

    @property
    def source(self) -> Source:
        """The images, in the colours the bag was made from."""
        return open_source(self.slide, icc=self.bag.attributes.get("icc") != "ignored")

    def image_of(self, row: int) -> int:
        """Canvas that instance `row` was cut from."""
        return 0 if self.bag.image_index is None else int(self.bag.image_index[row])


def draw_patient(
    slides: Sequence[ReadSlide], caption: str, rng: np.random.Generator
) -> Image.Image:
    """Draw a patient's overview and galleries.

    Left, each slide (or the fields that hold the highest value) under its attention, with the
    colour bar; right, the patches of highest attention above as many drawn at random. Single
    cells have no overview. For an aggregator without attention, contributions take its place, and
    where there are none, attribution.

    Raises
    ------
    ImageError
        If an image can no longer be read.
    """
    values = np.concatenate([read.attention.relative for read in slides])
    what = slides[0].attention.kind
    signed = what != "attention"
    scale = ColourScale.of_contributions(values) if signed else ColourScale.of_attention(values)
    rows = [(read, row) for read in slides for row in range(len(read.bag))]
    ranked = np.argsort(-values, kind="stable")
    top = ranked[:GALLERY]
    rest = ranked[GALLERY:] if len(ranked) > 2 * GALLERY else ranked
    random = rng.choice(rest, size=min(GALLERY, len(rest)), replace=False)
    right = stacked(
        [
            _titled(f"Highest {what}", _gallery([rows[i] for i in top], values[top], scale)),
            _titled("Drawn at random", _gallery([rows[i] for i in random], values[random], scale)),
        ]
    )
    bar = _colour_bar(scale, _OVERVIEW[1])
    overview = [] if slides[0].are_cells else [_titled("Where", _overview(slides, scale))]
    picture = side_by_side([*overview, bar, right])
    unit = "logit x number of patches" if signed else "multiples of uniform attention"
    notes = [
        f"Colours and numbers: {what}, in {unit}; not a probability. Research use only.",
        f"Here {held_text([share_held(values, p) for p in TOP_PERCENT], what)}.",
    ]
    return _framed(picture, caption, notes)


def _overview(slides: Sequence[ReadSlide], scale: ColourScale) -> Image.Image:
    panels = [panel for read in slides for panel in _panels(read, scale, most=6 // len(slides))]
    columns = 1 if len(panels) <= 2 else 2
    rows = -(-len(panels) // columns)
    width, height = _OVERVIEW[0] // columns - _GAP, _OVERVIEW[1] // rows - _GAP
    sheet = Image.new("RGB", _OVERVIEW, "white")
    for position, panel in enumerate(panels):
        fitted = _fitted(panel, width, height)
        corner = ((position % columns) * (width + _GAP), (position // columns) * (height + _GAP))
        sheet.paste(fitted, corner)
    return sheet.crop(_used(sheet))


def _panels(read: ReadSlide, scale: ColourScale, most: int) -> list[Rgb]:
    """Overlay the canvases of a slide that hold the highest values, at most `most` of them."""
    source = read.source
    index = np.array([read.image_of(row) for row in range(len(read.bag))])
    values = read.attention.relative
    images = np.unique(index)
    highest = sorted(images, key=lambda image: -values[index == image].max())
    panels = []
    for image in highest[: max(1, most)]:
        inside = index == image
        with source.open(int(image)) as canvas:
            panel = canvas.thumbnail(max(_OVERVIEW)).copy()
            painted = patch_map(
                read.attention.coords[inside],
                values[inside],
                read.side,
                canvas.dimensions,
                panel.shape[:2],
            )
        overlay(panel, painted, scale)
        panels.append(panel)
    return panels


def _gallery(
    instances: Sequence[tuple[ReadSlide, int]], values: NDArray[np.floating], scale: ColourScale
) -> Image.Image:
    lines = -(-GALLERY // _COLUMNS)
    step = _TILE + _GAP
    sheet = Image.new("RGB", (_COLUMNS * step, lines * step), "white")
    draw = ImageDraw.Draw(sheet)
    tiles = _tiles(instances)
    for position, value in enumerate(values):
        x, y = (position % _COLUMNS) * step, (position // _COLUMNS) * step
        sheet.paste(Image.fromarray(tiles[position]), (x, y))
        colour = tuple(scale.colour(np.array([value]))[0].tolist())
        draw.rectangle((x, y, x + _TILE - 1, y + _TILE - 1), outline=colour, width=4)
        _label(draw, (x + 6, y + 6), f"{value:+.1f}" if scale.signed else f"{value:.1f}x")
    return sheet


def _tiles(instances: Sequence[tuple[ReadSlide, int]]) -> Mapping[int, Rgb]:
    """Read the patches by position; each image is opened once, which costs more than a patch."""
    positions: dict[tuple[Slide, int], list[int]] = {}
    for position, (read, row) in enumerate(instances):
        positions.setdefault((read.slide, read.image_of(row)), []).append(position)
    tiles = {}
    for (_, image), of_image in positions.items():
        read, _ = instances[of_image[0]]
        with read.source.open(image) as canvas:
            for position in of_image:
                tiles[position] = _patch_pixels(canvas, read, instances[position][1])
    return tiles


def _patch_pixels(canvas: Canvas, read: ReadSlide, row: int) -> Rgb:
    if read.are_cells:
        return _whole(canvas)
    x, y = read.bag.coords[row].tolist()
    return canvas.read_region(Level0Px(x), Level0Px(y), Level0Px(read.side), PatchPx(_TILE))


def _whole(canvas: Canvas) -> Rgb:
    whole = padded_to_square(canvas.thumbnail(max(canvas.dimensions)))
    return resized(whole, _TILE, _TILE)


def _colour_bar(scale: ColourScale, height: int) -> Image.Image:
    shown = height - 90
    ramp = np.linspace(scale.highest, scale.lowest, shown)[:, None]
    bar = Image.fromarray(np.repeat(scale.colour(ramp), _BAR, axis=1))
    sheet = Image.new("RGB", (_BAR + 46, height), "white")
    sheet.paste(bar, (0, 50))
    draw = ImageDraw.Draw(sheet)
    ticks = np.linspace(scale.highest, scale.lowest, 5)
    for tick, y in zip(ticks, np.linspace(50, 50 + shown - 1, 5), strict=True):
        draw.line((_BAR, y, _BAR + 5, y), fill=INK)
        text = f"{tick:+.1f}" if scale.signed else f"{tick:.1f}x"
        draw.text((_BAR + 8, y), text, fill=INK, font=font(13), anchor="lm")
    return sheet


def _titled(title: str, picture: Image.Image) -> Image.Image:
    sheet = Image.new("RGB", (picture.width, picture.height + 28), "white")
    ImageDraw.Draw(sheet).text((0, 4), title, fill=INK, font=font(16, bold=True))
    sheet.paste(picture, (0, 28))
    return sheet


def _framed(picture: Image.Image, caption: str, notes: Sequence[str]) -> Image.Image:
    below = _LINE * len(notes)
    width, height = picture.width + 2 * MARGIN, picture.height + 2 * MARGIN + 42 + below
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), caption, fill=INK, font=font(18, bold=True))
    sheet.paste(picture, (MARGIN, MARGIN + 34))
    for number, note in enumerate(notes):
        place = MARGIN, height - MARGIN + 4 - below + _LINE * number
        draw.text(place, note, fill=QUIET, font=font(13))
    return sheet


def _fitted(image: Rgb, width: int, height: int) -> Image.Image:
    factor = min(width / image.shape[1], height / image.shape[0])
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    return Image.fromarray(resized(image, *size))


def _used(sheet: Image.Image) -> tuple[int, int, int, int]:
    filled = np.flatnonzero((np.asarray(sheet) != 255).any(axis=(1, 2)))
    columns = np.flatnonzero((np.asarray(sheet) != 255).any(axis=(0, 2)))
    if not len(filled):
        return 0, 0, *sheet.size
    return 0, 0, int(columns[-1]) + 1, int(filled[-1]) + 1


def _label(draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str) -> None:
    box = draw.textbbox(corner, text, font=font(13, bold=True))
    draw.rectangle((box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2), fill="white")
    draw.text(corner, text, fill=INK, font=font(13, bold=True))
