"""Lay attention over an image: values become colours, more or less opaque."""

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from cmil.patch_map import PatchMap

Rgb = NDArray[np.uint8]

# The map is clear where attention is lowest, and at its highest the cells still show through.
_MOST_OPACITY = 0.5
# Rows blended at a time: few enough to stay in the processor's cache.
_STRIP = 8


@dataclass(frozen=True)
class ColourScale:
    """How values become colours, the same for all images of a patient.

    Attributes
    ----------
    lowest, highest
        Values at the two ends; beyond them the end's colour is used.
    signed
        Whether 0 lies in the middle (contributions) or at the lower end (attention).
    """

    lowest: float
    highest: float
    signed: bool

    @classmethod
    def of_attention(cls, relative: NDArray[np.floating]) -> "ColourScale":
        """From 0 to the 99.5th percentile, and to at least twice uniform attention."""
        return cls(0.0, max(2.0, float(np.percentile(relative, 99.5))), signed=False)

    @classmethod
    def of_contributions(cls, values: NDArray[np.floating]) -> "ColourScale":
        """Symmetric around 0, to the 99.5th percentile of the size."""
        extreme = max(float(np.percentile(np.abs(values), 99.5)), 1e-6)
        return cls(-extreme, extreme, signed=True)

    def position(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Place values on the scale, 0 to 1."""
        span = self.highest - self.lowest
        return np.asarray(np.clip((values - self.lowest) / span, 0, 1), dtype=np.float32)

    def colour(self, values: NDArray[np.floating]) -> Rgb:
        """Colour values of any shape (...) as (..., 3) uint8; the maps suit the colour-blind."""
        table = mpl.colormaps["RdBu_r" if self.signed else "viridis"](np.linspace(0, 1, 256))
        return (table[:, :3] * 255).astype(np.uint8)[(self.position(values) * 255).astype(np.uint8)]

    def opacity(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Opacity of values: what the model passed over stays clear."""
        position = self.position(values)
        strength = np.abs(2 * position - 1) if self.signed else position
        return np.asarray(_MOST_OPACITY * strength, dtype=np.float32)


def overlay(image: Rgb, painted: PatchMap, scale: ColourScale) -> None:
    """Blend a patch map over an image, in place; pixels without a patch stay as they are.

    Colours are blended in 16-bit whole numbers, to within one level of 255.

    Parameters
    ----------
    image
        (H, W, 3) uint8 of the map's canvas.
    painted
        From `patch_map`.
    """
    bare = np.isnan(painted.bands)
    known = np.where(bare, scale.lowest, painted.bands)
    shown = np.where(bare, 0, np.rint(256 * scale.opacity(known))).astype(np.uint16)[..., None]
    # A row of pixels is one run of numbers here, red, green and blue in turn.
    tint = (scale.colour(known) * shown + np.uint16(128)).reshape(len(shown), -1)
    kept = np.repeat(256 - shown, 3, axis=2).reshape(len(shown), -1)
    column = np.repeat(np.arange(len(painted.widths)), painted.widths)
    place = (3 * column[:, None] + np.arange(3)).reshape(-1)
    bottoms = np.cumsum(painted.heights)
    keep, add = np.empty_like(place, np.uint16), np.empty_like(place, np.uint16)
    for band in np.flatnonzero(shown.any(axis=(1, 2))):
        np.take(kept[band], place, out=keep, mode="clip")
        np.take(tint[band], place, out=add, mode="clip")
        last = bottoms[band]
        for row in range(last - painted.heights[band], last, _STRIP):
            strip = image[row : min(row + _STRIP, last)]
            blended = strip.reshape(len(strip), -1).astype(np.uint16)
            blended *= keep
            blended += add
            blended >>= 8
            strip[...] = blended.reshape(strip.shape)
