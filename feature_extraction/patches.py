"""Read a source patch by patch: which are worth embedding, their pixels and their quality."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cohorts.errors import ImageError
from cohorts.manifest import Slide, SourceKind
from feature_extraction.geometry import Geometry, geometry_of, patch_grid
from feature_extraction.quality import measure_quality
from feature_extraction.selection import spread_order
from feature_extraction.settings import ExtractionSettings
from feature_extraction.sources import Canvas, Source
from feature_extraction.sources.canvas import Rgb, padded_to_square, resized
from feature_extraction.staining import glass_colour, stained_mask, stained_share
from feature_extraction.units import Level0Px

if TYPE_CHECKING:
    from feature_extraction.coordinates import Coordinates

# Patches of a block; fewer where they are large, so that what is read ahead stays small.
_BLOCK = 32
_BLOCK_BYTES = 8 << 20
# So many pixels across a patch are enough to see what is stained, and a coarse level of a slide
# gives them without decoding the finest.
_MASK_PX_PER_PATCH = 24
_MASK_LONGEST = (256, 4096)


def _as_they_are(pixels: Rgb) -> Rgb:
    return pixels


@dataclass(frozen=True)
class Reading:
    """How a source is read.

    Attributes
    ----------
    settings
        Of the study.
    normalise
        Maps (n, h, w, 3) uint8 patches to the colours they are embedded in.
    left_out
        Images of the source that are not read.
    given
        Where another program found the patches, in place of the grid.
    seed
        Of the sample, where the settings ask for one.
    """

    settings: ExtractionSettings
    normalise: Callable[[Rgb], Rgb] = _as_they_are
    left_out: frozenset[int] = frozenset()
    given: "Coordinates | None" = None
    seed: Sequence[int] = field(default=(0,))


@dataclass(frozen=True)
class PatchBlock:
    """Some patches of a source.

    Attributes
    ----------
    image_index
        (n,) int32, which canvas of the source.
    coords
        (n, 2) int64, top-left x, y in level-0 px.
    quality
        measure -> (n,) float32.
    pixels
        (n, patch_px, patch_px, 3) uint8, in the colours they are embedded in.
    geometry
        How level-0 pixels became patches.
    canvases
        Of each image that was read, by its number, what the bag tells of it: `reader` and `icc`.
    """

    image_index: NDArray[np.int32]
    coords: NDArray[np.int64]
    quality: Mapping[str, NDArray[np.float32]]
    pixels: Rgb
    geometry: Geometry
    canvases: Mapping[int, Mapping[str, str]]

    def __len__(self) -> int:
        return len(self.coords)

    def first(self, count: int) -> "PatchBlock":
        """Keep the first `count` patches."""
        quality = {measure: values[:count] for measure, values in self.quality.items()}
        return replace(
            self,
            image_index=self.image_index[:count],
            coords=self.coords[:count],
            quality=quality,
            pixels=self.pixels[:count],
        )

    def without_pixels(self) -> "PatchBlock":
        """Keep what the bag needs, once the pixels are on their way to the encoder."""
        return replace(self, pixels=self.pixels[:0].copy())


BlockReader = Callable[[], PatchBlock]


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
        On a resolution that is not known, an image smaller than a patch, a whole slide that is
        to be taken as a single cell, or patches given by another program for another slide.
    """
    settings = reading.settings
    images = _images_in_order(len(source.names), reading)
    if reading.given and (settings.images == "cells" or len(source.names) > 1):
        raise ImageError("coordinates of patches are given, but it holds images, not one slide")
    if settings.images == "cells":
        if slide.kind is SourceKind.SLIDE:
            raise ImageError(
                'a whole slide is not a single-cell image; set images = "fields" to cut it'
            )
        parts = [images[first : first + _BLOCK] for first in range(0, len(images), _BLOCK)]
        yield [partial(_read_cells, source, part, reading) for part in parts]
    elif len(source.names) > 1:
        share = -(-settings.max_patches // len(images)) if settings.max_patches else None
        # What the rule drops of the images' shares is made up for from the rest of them.
        shares = [slice(share), slice(share, None)] if share else [slice(None)]
        yield [
            partial(_read_field, slide, source, index, reading, part)
            for part in shares
            for index in images
        ]
    else:
        with source.open(0) as canvas:
            yield _readers_of_canvas(slide, canvas, reading)


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


def _read_block(
    canvas: Canvas,
    index: int,
    coords: NDArray[np.int64],
    geometry: Geometry,
    glass: NDArray[np.float64],
    reading: Reading,
) -> PatchBlock:
    patch_px = reading.settings.patch_px
    pixels = np.empty((len(coords), patch_px, patch_px, 3), dtype=np.uint8)
    for patch, (x, y) in zip(pixels, coords.tolist(), strict=True):
        canvas.read_into(patch, Level0Px(x), Level0Px(y), geometry.side)
    return PatchBlock(
        image_index=np.full(len(coords), index, dtype=np.int32),
        coords=coords,
        quality=measure_quality(pixels, glass, geometry.patch_mpp),
        pixels=reading.normalise(pixels),
        geometry=geometry,
        canvases={index: _told_of(canvas)},
    )


def _told_of(canvas: Canvas) -> dict[str, str]:
    return {"reader": canvas.reader, "icc": canvas.icc}


def _read_cells(source: Source, images: Sequence[int], reading: Reading) -> PatchBlock:
    patch_px = reading.settings.patch_px
    pixels = np.empty((len(images), patch_px, patch_px, 3), dtype=np.uint8)
    glass = np.empty((len(images), 3))
    told = {}
    for position, index in enumerate(images):
        with source.open(index) as canvas:
            width, height = canvas.dimensions
            whole = padded_to_square(canvas.thumbnail(max(width, height)))
            told[index] = _told_of(canvas)
        pixels[position] = resized(whole, patch_px, patch_px)
        # Every cell has a ground of its own, so its measures are taken against it.
        glass[position] = glass_colour(whole)
    side = Level0Px(max(width, height))
    return PatchBlock(
        image_index=np.array(images, dtype=np.int32),
        coords=np.zeros((len(images), 2), dtype=np.int64),
        quality=measure_quality(pixels, glass, None),
        pixels=reading.normalise(pixels),
        geometry=Geometry(Level0Px(width), Level0Px(height), side, None, None),
        canvases=told,
    )


def _read_field(
    slide: Slide, source: Source, index: int, reading: Reading, part: slice
) -> PatchBlock:
    with source.open(index) as canvas:
        try:
            geometry = geometry_of(slide, canvas, reading.settings)
        except ImageError as error:
            raise ImageError(f'image "{source.names[index]}": {error}') from error
        overview = _overview(canvas, geometry)
        coords = _stained(overview, geometry, reading.settings.min_stained)
        if reading.settings.max_patches:
            rng = np.random.default_rng([*reading.seed, index])
            coords = coords[spread_order(coords, geometry.side, rng)][part]
        return _read_block(canvas, index, coords, geometry, glass_colour(overview), reading)


def _readers_of_canvas(slide: Slide, canvas: Canvas, reading: Reading) -> Sequence[BlockReader]:
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
    glass = glass_colour(overview)
    rows = min(_BLOCK, max(1, _BLOCK_BYTES // (settings.patch_px**2 * 3)))
    return [
        partial(_read_block, canvas, 0, coords[first : first + rows], geometry, glass, reading)
        for first in range(0, len(coords), rows)
    ]
