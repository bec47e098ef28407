"""Reinhard et al. 2001, Color transfer between images: match mean and deviation in a Lab space.

As the field practises it (torchstain, StainTools, TIAToolbox): CIELAB (D65, 2 degrees) of sRGB,
where the paper took the older l-alpha-beta. Measured on stained pixels: over all pixels the share
of glass would decide mean and deviation. The glass follows as the stain is moved, so slides whose
stains differ can come out on glass of different tints.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cohorts.errors import ImageError
from feature_extraction.colour.sample import (
    Colour,
    Finite,
    PatchMap,
    Sample,
    each_patch,
    numbers,
)

Floats = NDArray[np.float32]

# Rounding to 8 bits alone makes a flat colour deviate by about 0.2 in Lab. What deviates less than
# this is noise, and stretching it to the reference's deviation would paint noise in full colour.
_LEAST_DEVIATION = 0.5
Deviation = Annotated[float, Field(strict=True, ge=_LEAST_DEVIATION, le=256)]

# sRGB to XYZ and the white of D65, as scikit-image, OpenCV and torchstain have them.
_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_TO_WHITE = _XYZ / _WHITE[:, None]
# CIELAB is linear in the cube roots f of X, Y, Z: L = 116 fY - 16, a = 500 (fX - fY), ...
_LAB = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
_LAB_OFFSET = np.array([-16.0, 0.0, 0.0])
_TOE = 6 / 29
_STEPS = 65535


class ReinhardColour(Colour):
    """Mean and standard deviation of L, a and b over the stained pixels."""

    method: Literal["reinhard"] = "reinhard"
    mean: tuple[Finite, Finite, Finite]
    std: tuple[Deviation, Deviation, Deviation]


def measure(sample: Sample) -> ReinhardColour:
    """Measure mean and deviation.

    Raises
    ------
    ImageError
        If the stain is of one hue or one depth only.
    """
    roots = _roots(sample.stained[:, None])[:, 0].astype(np.float64)
    lab = roots @ _LAB.T + _LAB_OFFSET
    std = lab.std(axis=0)
    if std.min() < _LEAST_DEVIATION:
        raise ImageError(
            f"its stain hardly varies in {'Lab'[int(std.argmin())]} (standard deviation "
            f"{std.min():.2f}), so reinhard would magnify noise; leave the slide out or set "
            'stain = "none"'
        )
    return ReinhardColour(mean=numbers(lab.mean(axis=0)), std=numbers(std))


def median(colours: Sequence[ReinhardColour]) -> ReinhardColour:
    """Median of each number over slides: one odd slide in a cohort does not move it."""
    return ReinhardColour(
        mean=numbers(np.median([colour.mean for colour in colours], axis=0)),
        std=numbers(np.median([colour.std for colour in colours], axis=0)),
    )


def towards(slide: ReinhardColour, reference: ReinhardColour) -> PatchMap:
    """Give each pixel the reference's mean and deviation in L, a and b."""
    scale = np.diag(np.divide(reference.std, slide.std))
    offset = np.array(reference.mean) - scale @ slide.mean
    # lab -> scale lab + offset, written for the cube roots, of which lab is a linear function.
    inverse = np.linalg.inv(_LAB)
    matrix = inverse @ scale @ _LAB
    shift = inverse @ (scale @ _LAB_OFFSET + offset - _LAB_OFFSET)
    affine = np.column_stack([matrix, shift]).astype(np.float32)

    def recolour(patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
        roots = np.asarray(cv2.transform(_roots(patch), affine), dtype=np.float32)
        return _from_roots(roots)

    return each_patch(recolour)


def _linear_of_level(level: NDArray[np.floating]) -> NDArray[np.floating]:
    """Linear light of sRGB levels in 0..1, IEC 61966-2-1."""
    return np.where(level > 0.04045, ((level + 0.055) / 1.055) ** 2.4, level / 12.92)


def _level_of_linear(light: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, light * 12.92)


def _root(light: NDArray[np.floating]) -> NDArray[np.floating]:
    """Cube root, straight below (6/29)^3: the f of CIELAB."""
    return np.where(light > _TOE**3, np.cbrt(light), light / (3 * _TOE**2) + 4 / 29)


# Powers are looked up, which cv2.cvtColor does not beat in float32: light in 65536 steps, of which
# the darkest level still has twenty.
_AXIS = np.arange(_STEPS + 1) / _STEPS
_LIGHT = (_linear_of_level(np.arange(256) / 255) * _STEPS).astype(np.float32)
_ROOT = _root(_AXIS).astype(np.float32)
_LEVEL = np.rint(_level_of_linear(_AXIS) * 255).astype(np.uint8)
_TO_WHITE_HALF_UP = np.column_stack([_TO_WHITE, np.full(3, 0.5)]).astype(np.float32)
_FROM_WHITE = np.linalg.inv(_TO_WHITE)
_FROM_WHITE_HALF_UP = np.column_stack([_FROM_WHITE * _STEPS, np.full(3, 0.5)]).astype(np.float32)


def _roots(image: NDArray[np.uint8]) -> Floats:
    """Cube roots of X, Y and Z relative to white, (h, w, 3) float32."""
    light = np.asarray(cv2.transform(cv2.LUT(image, _LIGHT), _TO_WHITE_HALF_UP))
    np.minimum(light, _STEPS, out=light)
    return _ROOT.take(light.astype(np.uint16), mode="clip")


def _from_roots(roots: Floats) -> NDArray[np.uint8]:
    light = roots * roots * roots
    dark = roots <= _TOE
    if dark.any():
        light[dark] = (3 * _TOE**2) * (roots[dark] - 4 / 29)
    light = np.asarray(cv2.transform(light, _FROM_WHITE_HALF_UP))
    np.clip(light, 0, _STEPS, out=light)
    levels: NDArray[np.uint8] = _LEVEL.take(light.astype(np.uint16), mode="clip")
    return levels
