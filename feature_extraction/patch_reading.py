"""Read a source patch by patch: which are worth embedding, their pixels and their quality."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cohorts.errors import ImageError
from cohorts.manifest import Slide, SourceKind
from feature_extraction.colour import normaliser
from feature_extraction.geometry import Geometry, geometry_of, patch_grid
from feature_extraction.patches import (
    BlockReader,
    CellsPart,
    FieldPart,
    Part,
    PatchBlock,
    Reading,
    Room,
    SlidePart,
)
from feature_extraction.quality import measure_quality
from feature_extraction.selection import spread_order
from feature_extraction.settings import ExtractionSettings
from feature_extraction.sources import Canvas, Source
from feature_extraction.sources.canvas import Rgb, padded_to_square, resized
from feature_extraction.staining import glass_colour, stained_mask, stained_share
from feature_extraction.units import Level0Px

# Patches of a block; fewer where they are large, so that what is read ahead stays small.
_BLOCK = 32
_BLOCK_BYTES = 8 << 20
# So many pixels across a patch are enough to see what is stained, and a coarse level of a slide
# gives them without decoding the finest.
_MASK_PX_PER_PATCH = 24
_MASK_LONGEST = (256, 4096)


@contextmanager
def block_readers(
    slide: Slide, source: Source, reading: Reading
) -> Iterator[Sequence[BlockReader]]:
    """Give functions that each read one block; they may run in parallel.

    Their order is that of the bag; where a sample is asked for, any number of first blocks is
    spread over the source. The source stays open until the context is left.

    Raises
    ------
    ImageError
        As `OpenedSource.parts`.
    """
    with opened(slide, source, reading) as at_hand:
        yield [partial(at_hand.read, part) for part in at_hand.parts()]


@contextmanager
def opened(slide: Slide, source: Source, reading: Reading) -> Iterator["OpenedSource"]:
    """Open what is to be read; a whole slide stays open until the context is left.

    Raises
    ------
    ImageError
        If the slide cannot be opened.
    """
    if reading.settings.images == "cells" or len(source.names) > 1:
        yield OpenedSource(slide, source, reading)
    else:
        with source.open(0) as canvas:
            yield OpenedSource(slide, source, reading, canvas)


class OpenedSource:
    """A source whose patches can be found, and read in parts.

    Parameters
    ----------
    canvas
        The only one of the source, if patches are cut out of it.
    """

    def __init__(
        self, slide: Slide, source: Source, reading: Reading, canvas: Canvas | None = None
    ) -> None:
        self.slide = slide
        self.reading = reading
        self._source = source
        self._canvas = canvas
        self._normalise = (
            normaliser(reading.colour, reading.reference) if reading.colour else _as_they_are
        )

    def parts(self) -> Sequence[Part]:
        """Find the patches, and deal them out to blocks.

        Raises
        ------
        ImageError
            On a resolution that is not known, an image smaller than a patch, a whole slide that is
            to be taken as a single cell, or patches given by another program for another slide.
        """
        settings = self.reading.settings
        if self._canvas:
            return _parts_of_canvas(self.slide, self._canvas, self.reading)
        images = _images_in_order(len(self._source.names), self.reading)
        if self.reading.given:
            raise ImageError("coordinates of patches are given, but it holds images, not one slide")
        if settings.images == "cells":
            if self.slide.kind is SourceKind.SLIDE:
                raise ImageError(
                    'a whole slide is not a single-cell image; set images = "fields" to cut it'
                )
            size = patches_of_block(settings)
            return [
                CellsPart(images[first : first + size]) for first in range(0, len(images), size)
            ]
        share = -(-settings.max_patches // len(images)) if settings.max_patches else None
        # What the rule drops of the images' shares is made up for from the rest of them.
        shares = [slice(share), slice(share, None)] if share else [slice(None)]
        return [FieldPart(index, part) for part in shares for index in images]

    def read(self, part: Part, room: Room | None = None) -> PatchBlock:
        """Read one part; threads may do so at once.

        Parameters
        ----------
        room
            Where the pixels go, if their colours stay as they are.

        Raises
        ------
        ImageError
            If an image cannot be read, or cut as the settings ask.
        """
        room = room or self._room
        match part:
            case CellsPart():
                return self._read_cells(part, room)
            case FieldPart():
                return self._read_field(part, room)
            case SlidePart() if self._canvas:
                return self._read_canvas(self._canvas, 0, part, room)
        raise ValueError("the part is of another source")

    def _room(self, patches: int) -> Rgb:
        side = self.reading.settings.patch_px
        return np.empty((patches, side, side, 3), dtype=np.uint8)

    def _read_cells(self, part: CellsPart, room: Room) -> PatchBlock:
        pixels = room(len(part.images))
        patch_px = self.reading.settings.patch_px
        glass = np.empty((len(part.images), 3))
        told = {}
        for position, index in enumerate(part.images):
            with self._source.open(index) as canvas:
                width, height = canvas.dimensions
                whole = padded_to_square(canvas.thumbnail(max(width, height)))
                told[index] = _told_of(canvas)
            pixels[position] = resized(whole, patch_px, patch_px)
            # Every cell has a ground of its own, so its measures are taken against it.
            glass[position] = glass_colour(whole)
        side = Level0Px(max(width, height))
        return PatchBlock(
            image_index=np.array(part.images, dtype=np.int32),
            coords=np.zeros((len(part.images), 2), dtype=np.int64),
            quality=measure_quality(pixels, glass, None),
            pixels=self._normalise(pixels),
            geometry=Geometry(Level0Px(width), Level0Px(height), side, None, None),
            canvases=told,
        )

    def _read_field(self, part: FieldPart, room: Room) -> PatchBlock:
        settings, name = self.reading.settings, self._source.names[part.image]
        with self._source.open(part.image) as canvas:
            try:
                geometry = geometry_of(self.slide, canvas, settings)
            except ImageError as error:
                raise ImageError(f'image "{name}": {error}') from error
            overview = _overview(canvas, geometry)
            coords = _stained(overview, geometry, settings.min_stained)
            if settings.max_patches:
                rng = np.random.default_rng([*self.reading.seed, part.image])
                coords = coords[spread_order(coords, geometry.side, rng)][part.share]
            whole = SlidePart(coords, geometry, glass_colour(overview))
            return self._read_canvas(canvas, part.image, whole, room)

    def _read_canvas(self, canvas: Canvas, index: int, part: SlidePart, room: Room) -> PatchBlock:
        pixels, side = room(len(part.coords)), part.geometry.side
        for patch, (x, y) in zip(pixels, part.coords.tolist(), strict=True):
            canvas.read_into(patch, Level0Px(x), Level0Px(y), side)
        return PatchBlock(
            image_index=np.full(len(part.coords), index, dtype=np.int32),
            coords=part.coords,
            quality=measure_quality(pixels, part.glass, part.geometry.patch_mpp),
            pixels=self._normalise(pixels),
            geometry=part.geometry,
            canvases={index: _told_of(canvas)},
        )


def patches_of_block(settings: ExtractionSettings) -> int:
    """Count the patches that are read at a time, but for an image that is read whole."""
    return min(_BLOCK, max(1, _BLOCK_BYTES // (settings.patch_px**2 * 3)))


def _as_they_are(pixels: Rgb) -> Rgb:
    return pixels


def _told_of(canvas: Canvas) -> dict[str, str]:
    return {"reader": canvas.reader, "icc": canvas.icc}


def _images_in_order(images: int, reading: Reading) -> list[int]:
    kept = [index for index in range(images) if index not in reading.left_out]
    if not reading.settings.max_patches:
        return kept
    return [int(index) for index in np.random.default_rng(reading.seed).permutation(kept)]


def candidates_of(
    slide: Slide, canvas: Canvas, settings: ExtractionSettings
) -> tuple[Geometry, NDArray[np.int64]]:
    """Find the patches of a canvas that hold something, from its thumbnail.

    Returns
    -------
    geometry
        Of the canvas.
    coords
        (N, 2) int64, top-left x, y in level-0 px.

    Raises
    ------
    ImageError
        As `geometry_of`.
    """
    geometry = geometry_of(slide, canvas, settings)
    return geometry, _stained(_overview(canvas, geometry), geometry, settings.min_stained)


def _overview(canvas: Canvas, geometry: Geometry) -> Rgb:
    longest = round(max(geometry.width, geometry.height) / geometry.side * _MASK_PX_PER_PATCH)
    return canvas.thumbnail(min(max(longest, _MASK_LONGEST[0]), _MASK_LONGEST[1]))


def _stained(overview: Rgb, geometry: Geometry, least: float) -> NDArray[np.int64]:
    coords = patch_grid(geometry.width, geometry.height, geometry.side)
    size = (geometry.width, geometry.height)
    share = stained_share(stained_mask(overview), size, coords, geometry.side)
    return coords[share >= least]


def _parts_of_canvas(slide: Slide, canvas: Canvas, reading: Reading) -> Sequence[Part]:
    settings = reading.settings
    geometry = geometry_of(slide, canvas, settings)
    overview = _overview(canvas, geometry)
    if reading.given:
        coords = reading.given.of(geometry)
    else:
        coords = _stained(overview, geometry, settings.min_stained)
    if settings.max_patches:
        rng = np.random.default_rng(reading.seed)
        coords = coords[spread_order(coords, geometry.side, rng)]
    glass, size = glass_colour(overview), patches_of_block(settings)
    return [
        SlidePart(coords[first : first + size], geometry, glass)
        for first in range(0, len(coords), size)
    ]
