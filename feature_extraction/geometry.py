"""Where the patches of an image lie: its scale, and the grid that covers it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cohorts.errors import ImageError
from cohorts.manifest import MPP_RANGE, Slide
from feature_extraction.settings import ExtractionSettings
from feature_extraction.sources import Canvas
from feature_extraction.sources.canvas import mpp_of_magnification
from feature_extraction.units import Level0Px, Mpp


@dataclass(frozen=True)
class Geometry:
    """Scale of a canvas and the side of its patches.

    Attributes
    ----------
    width, height
        Of the canvas.
    side
        Of a patch.
    source_mpp, patch_mpp
        Microns per pixel of the canvas and of a patch as the encoder sees it, if known.
    """

    width: Level0Px
    height: Level0Px
    side: Level0Px
    source_mpp: Mpp | None
    patch_mpp: Mpp | None


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
            f"states no resolution{_magnification_of(canvas)}; give it in the manifest's column "
            '"mpp", e.g. 0.25, or take it as it is with mpp = "native"'
        )
    else:
        side, patch_mpp = round(settings.patch_px * settings.mpp / stated), Mpp(settings.mpp)
    if min(width, height) < side or side < 1:
        raise ImageError(
            f"{width} x {height} pixels are smaller than one patch of {side} x {side}; "
            "lower patch_px or mpp"
        )
    return Geometry(Level0Px(width), Level0Px(height), Level0Px(side), stated, patch_mpp)


def _magnification_of(canvas: Canvas) -> str:
    """Say which resolution is usual at the magnification that is stated; it is no more than that.

    Scanners of one magnification differ by a tenth and more, so it is never taken for the truth.
    """
    if canvas.magnification is None:
        return ""
    usual = mpp_of_magnification(canvas.magnification)
    return f" but a magnification of {canvas.magnification:g}x (about {usual:g} um per pixel)"
