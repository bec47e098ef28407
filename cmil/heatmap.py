"""Lay attention over an image: which pixel belongs to which patch, and in what colour."""

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]

# The map is clear where attention is lowest, and at its highest the cells still show through.
_MOST_OPACITY = 0.5


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


def patch_map(
    coords: NDArray[np.int64],
    values: NDArray[np.floating],
    side: int,
    dimensions: tuple[int, int],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Paint every patch's value onto a shrunk canvas.

    Parameters
    ----------
    coords
        (N, 2) top-left corners in level-0 px.
    values
        (N,)
    side
        Side of a patch in level-0 px.
    dimensions
        Width and height of the image in level-0 px.
    shape
        Rows and columns of the canvas.

    Returns
    -------
    `shape` float32, NaN where there is no patch. Where patches overlap, the higher value stays.
    """
    canvas = np.full(shape, np.nan, dtype=np.float32)
    order = np.argsort(values, kind="stable")
    # In whole numbers: a product rounded up would paint a pixel of the neighbour.
    reduced = np.array(shape[::-1])
    first = coords[order] * reduced // dimensions
    last = -(-(coords[order] + side) * reduced // dimensions)
    for (x0, y0), (x1, y1), value in zip(
        first.tolist(), last.tolist(), values[order].tolist(), strict=True
    ):
        canvas[y0:y1, x0:x1] = value
    return canvas


def overlay(image: Rgb, painted: NDArray[np.float32], scale: ColourScale) -> Rgb:
    """Blend a patch map over an image of the same size; NaN leaves the image as it is.

    Parameters
    ----------
    image
        (H, W, 3) uint8.
    painted
        (H, W) from `patch_map`.
    """
    known = np.where(np.isnan(painted), scale.lowest, painted)
    opacity = np.where(np.isnan(painted), 0, scale.opacity(known))[..., None]
    blended = image * (1 - opacity) + scale.colour(known) * opacity
    return np.asarray(blended.round(), dtype=np.uint8)
