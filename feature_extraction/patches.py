"""Cut a source into patches: where they lie, which are kept, and their pixels."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cohorts.errors import ImageError
from cohorts.manifest import MPP_RANGE, Slide, SourceKind
from feature_extraction.settings import ExtractionSettings
from feature_extraction.sources import Canvas, Source
from feature_extraction.sources.canvas import Rgb, padded_to_square, resized
from feature_extraction.staining import stained_mask, stained_share
from feature_extraction.units import Level0Px, Mpp, PatchPx

_BLOCK = 32
# So many pixels across a patch are enough to see what is stained, and a coarse level of a slide
# gives them without decoding the finest.
_MASK_PX_PER_PATCH = 24
_MASK_LONGEST = (256, 4096)


@dataclass(frozen=True)
class PatchBlock:
    """Some patches of one canvas.

    Attributes
    ----------
    image_index
        Which canvas of the source.
    coords
        (n, 2) int64, top-left x, y in level-0 px.
    stained
        (n,) float32, stained share.
    pixels
        (n, patch_px, patch_px, 3) uint8.
    geometry
        How level-0 pixels became patches, the same for all blocks of a canvas.
    """

    image_index: int
    coords: NDArray[np.int64]
    stained: NDArray[np.float32]
    pixels: Rgb
    geometry: "Geometry"

    def without_pixels(self) -> "PatchBlock":
        """Keep what the bag needs, once the pixels are on their way to the encoder."""
        return replace(self, pixels=self.pixels[:0].copy())


@dataclass(frozen=True)
class Geometry:
    """Scale of a canvas and the side of its patches."""

    width: Level0Px
    height: Level0Px
    side: Level0Px
    source_mpp: Mpp | None
    patch_mpp: Mpp | None


BlockReader = Callable[[], PatchBlock]


@contextmanager
def block_readers(
    slide: Slide, source: Source, settings: ExtractionSettings
) -> Iterator[Sequence[BlockReader]]:
    """Give, in the bag's order, functions that each read one block; they may run in parallel.

    The source stays open until the context is left.

    Raises
    ------
    ImageError
        On a resolution that is not known, an image smaller than a patch, or a whole slide that
        is to be taken as a single cell.
    """
    images = range(len(source.names))
    if settings.images == "cells":
        if slide.kind is SourceKind.SLIDE:
            raise ImageError(
                'a whole slide is not a single-cell image; set images = "fields" to cut it'
            )
        yield [partial(_read_cell, source, index, settings) for index in images]
    elif len(source.names) > 1:
        yield [partial(_read_field, slide, source, index, settings) for index in images]
    else:
        with source.open(0) as canvas:
            yield _readers_of_canvas(slide, canvas, settings)


def patch_grid(width: int, height: int, side: int) -> NDArray[np.int64]:
    """Top-left corners of squares that cover an image, row by row.

    The last column and row are moved inwards to end at the image's edge, so that no clump at a
    margin is lost; there they overlap their neighbours.

    Returns
    -------
    (N, 2) int64, x and y
    """

    def starts(length: int) -> NDArray[np.int64]:
        regular = np.arange(0, length - side + 1, side, dtype=np.int64)
        rest = length - side
        return regular if regular[-1] == rest else np.append(regular, rest)

    x, y = np.meshgrid(starts(width), starts(height))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def geometry_of(slide: Slide, canvas: Canvas, settings: ExtractionSettings) -> Geometry:
    """Find how many level-0 pixels make one patch at the resolution that is asked for.

    Raises
    ------
    ImageError
        If a resolution is asked for and neither the file nor the manifest states one, or the
        image is smaller than one patch.
    """
    stated = Mpp(slide.mpp) if slide.mpp is not None else canvas.mpp
    if stated is not None and not MPP_RANGE[0] <= stated <= MPP_RANGE[1]:
        raise ImageError(
            f"states {stated:g} microns per pixel, which cannot be; give the right resolution in "
            'the manifest\'s column "mpp", e.g. 0.25'
        )
    width, height = canvas.dimensions
    if settings.mpp == "native":
        side, patch_mpp = settings.patch_px, stated
    elif stated is None:
        raise ImageError(
            'states no resolution; give it in the manifest\'s column "mpp", e.g. 0.25, '
            'or take it as it is with mpp = "native"'
        )
    else:
        side, patch_mpp = round(settings.patch_px * settings.mpp / stated), Mpp(settings.mpp)
    if min(width, height) < side or side < 1:
        raise ImageError(
            f"{width} x {height} pixels are smaller than one patch of {side} x {side}; "
            "lower patch_px or mpp"
        )
    return Geometry(Level0Px(width), Level0Px(height), Level0Px(side), stated, patch_mpp)


def _kept_patches(
    canvas: Canvas, geometry: Geometry, settings: ExtractionSettings
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    coords = patch_grid(geometry.width, geometry.height, geometry.side)
    longest = round(max(geometry.width, geometry.height) / geometry.side * _MASK_PX_PER_PATCH)
    mask = stained_mask(canvas.thumbnail(min(max(longest, _MASK_LONGEST[0]), _MASK_LONGEST[1])))
    stained = stained_share(mask, (geometry.width, geometry.height), coords, geometry.side)
    kept = stained >= settings.min_stained
    return coords[kept], stained[kept]


def _read_patches(
    canvas: Canvas, coords: NDArray[np.int64], geometry: Geometry, patch_px: int
) -> Rgb:
    pixels = np.empty((len(coords), patch_px, patch_px, 3), dtype=np.uint8)
    for position, (x, y) in enumerate(coords.tolist()):
        pixels[position] = canvas.read_region(
            Level0Px(x), Level0Px(y), geometry.side, PatchPx(patch_px)
        )
    return pixels


def _read_cell(source: Source, index: int, settings: ExtractionSettings) -> PatchBlock:
    with source.open(index) as canvas:
        width, height = canvas.dimensions
        whole = padded_to_square(canvas.thumbnail(max(width, height)))
    stained = np.array([stained_mask(whole).mean()], dtype=np.float32)
    side = Level0Px(max(width, height))
    geometry = Geometry(Level0Px(width), Level0Px(height), side, None, None)
    pixels = resized(whole, settings.patch_px, settings.patch_px)[None]
    return PatchBlock(index, np.zeros((1, 2), dtype=np.int64), stained, pixels, geometry)


def _read_field(
    slide: Slide, source: Source, index: int, settings: ExtractionSettings
) -> PatchBlock:
    with source.open(index) as canvas:
        try:
            geometry = geometry_of(slide, canvas, settings)
        except ImageError as error:
            raise ImageError(f'image "{source.names[index]}": {error}') from error
        coords, stained = _kept_patches(canvas, geometry, settings)
        pixels = _read_patches(canvas, coords, geometry, settings.patch_px)
    return PatchBlock(index, coords, stained, pixels, geometry)


def _readers_of_canvas(
    slide: Slide, canvas: Canvas, settings: ExtractionSettings
) -> Sequence[BlockReader]:
    geometry = geometry_of(slide, canvas, settings)
    coords, stained = _kept_patches(canvas, geometry, settings)

    def read(first: int) -> PatchBlock:
        part = slice(first, first + _BLOCK)
        pixels = _read_patches(canvas, coords[part], geometry, settings.patch_px)
        return PatchBlock(0, coords[part], stained[part], pixels, geometry)

    return [partial(read, first) for first in range(0, len(coords), _BLOCK)]
