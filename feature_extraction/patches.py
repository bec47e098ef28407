"""What is read of a source, and what comes of it: parts, and blocks of patches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from feature_extraction.colour import ColourReference, SlideColour
from feature_extraction.geometry import Geometry
from feature_extraction.settings import ExtractionSettings
from feature_extraction.sources.canvas import Rgb

if TYPE_CHECKING:
    from feature_extraction.coordinates import Coordinates


@dataclass(frozen=True)
class Reading:
    """How a source is read.

    Attributes
    ----------
    settings
        Of the study.
    colour, reference
        Of the slide, and those its patches are brought to; without the first they are embedded in
        the colours they have.
    left_out
        Images of the source that are not read.
    given
        Where another program found the patches, in place of the grid.
    seed
        Of the sample, where the settings ask for one.
    """

    settings: ExtractionSettings
    colour: SlideColour | None = None
    reference: ColourReference | None = None
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
Room = Callable[[int], Rgb]
"""Told a number of patches, gives where their pixels are to be written."""


@dataclass(frozen=True)
class CellsPart:
    """Images that each are one patch."""

    images: Sequence[int]


@dataclass(frozen=True)
class FieldPart:
    """An image that is read whole, and which of its patches are taken."""

    image: int
    share: slice


@dataclass(frozen=True)
class SlidePart:
    """Patches of the only canvas, at (n, 2) `coords` in level-0 px, and the colour of its glass."""

    coords: NDArray[np.int64]
    geometry: Geometry
    glass: NDArray[np.float64]


Part = CellsPart | FieldPart | SlidePart
"""Of a source, what is read as one block; it can be sent to another process."""
