"""Macenko et al. 2009, A method for normalizing histology slides for quantitative analysis.

Two stains span a plane in the space of absorbances; the extreme directions within it (1st and 99th
percentile of the angle) are the stains, the 99th percentile of each one's amount is how strong it
is. A patch is unmixed with the slide's stains and mixed again with the reference's.

Blood is not H&E. In a Romanowsky smear the two are the azure complex (nuclei, blue cytoplasm),
which absorbs red light, and eosin with haemoglobin (red cells), which absorbs blue and hardly any
red. So here

- the stains are ordered by red less blue absorbance, not by an expected haematoxylin;
- a pixel is stained if it absorbs in *any* channel: to ask for all three, as is usual, would drop
  the red cells and with them the second stain;
- light is measured on the slide's own glass, not set to 240, and set to the reference's glass;
- the plane passes through the glass (the SVD of the paper, not principal components around the
  mean), and its first axis points to absorption, so that no angle wraps around;
- a stain never absorbs a negative amount of light.

Whatever is of neither stain (pigment, dirt, a third dye) is projected onto the plane. Slides have
to show the same kinds of cells: where hardly any nuclei are seen, the azure found is that of red
cells, and to strengthen it to a marrow's turns them violet.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cohorts.errors import ImageError
from feature_extraction.colour.sample import (
    Colour,
    Glass,
    PatchMap,
    Sample,
    each_patch,
    numbers,
)

Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Stain = tuple[Share, Share, Share]

_EXTREME_PERCENTILES = (1.0, 99.0)
_STRONGEST_PERCENTILE = 99.0
# Unmixing magnifies noise by 1 / sin(angle between the stains): ten times here.
_LEAST_SINE = 0.1
# In natural units of absorbance; what is weaker would not be told from glass.
_WEAKEST = 0.1
Strength = Annotated[float, Field(strict=True, ge=_WEAKEST, le=100)]
_LOG_BRIGHTEST = np.float32(np.log(256.0))
_LOG_LEVEL = np.log(np.arange(256) + 1.0).astype(np.float32)


class MacenkoColour(Colour):
    """Two stains of a slide.

    Attributes
    ----------
    glass
        Level of unstained glass.
    azure, eosin
        Absorbance of red, green and blue light, of length 1; azure is the one that absorbs more
        red than blue light compared with the other.
    strength
        99th percentile of the amount of each, in natural units of absorbance.
    """

    method: Literal["macenko"] = "macenko"
    glass: Glass
    azure: Stain
    eosin: Stain
    strength: tuple[Strength, Strength]

    @model_validator(mode="after")
    def _two_stains(self) -> Self:
        lengths = np.linalg.norm([self.azure, self.eosin], axis=1)
        if np.abs(lengths - 1).max() > 1e-6:
            raise ValueError("azure and eosin must be of length 1")
        if _sine(self.azure, self.eosin) < _LEAST_SINE:
            raise ValueError("azure and eosin must differ")
        if _redness(self.azure) <= _redness(self.eosin):
            raise ValueError("azure must absorb more red than blue light compared with eosin")
        return self


def measure(sample: Sample) -> MacenkoColour:
    """Find the two stains.

    Raises
    ------
    ImageError
        If the sample shows one stain only.
    """
    absorbance = np.maximum(np.log(sample.glass + 1) - np.log(sample.stained + 1.0), 0)
    first, second = _extremes(absorbance)
    sine = _sine(first, second)
    if sine < _LEAST_SINE or _redness(first) == _redness(second):
        raise _one_stain(f"its extreme colours are {np.degrees(np.arcsin(sine)):.1f} degrees apart")
    azure, eosin = sorted((first, second), key=_redness, reverse=True)
    amounts = absorbance @ np.linalg.pinv(np.stack([azure, eosin]))
    strength = np.percentile(amounts, _STRONGEST_PERCENTILE, axis=0)
    if strength.min() < _WEAKEST:
        raise _one_stain(f"the weaker one's strength is {strength.min():.2f}")
    return MacenkoColour(
        glass=numbers(sample.glass),
        azure=numbers(azure),
        eosin=numbers(eosin),
        strength=(float(strength[0]), float(strength[1])),
    )


def median(colours: Sequence[MacenkoColour]) -> MacenkoColour:
    """Median over slides: of stains, number by number and brought back to length 1.

    Stains of all slides are ordered alike and not negative, so they lie close together in one
    octant, where this median is as robust as the spatial one and does not depend on an iteration.
    """
    return MacenkoColour(
        glass=numbers(np.median([colour.glass for colour in colours], axis=0)),
        azure=numbers(_unit(np.median([colour.azure for colour in colours], axis=0))),
        eosin=numbers(_unit(np.median([colour.eosin for colour in colours], axis=0))),
        strength=tuple(np.median([colour.strength for colour in colours], axis=0).tolist()),
    )


def towards(slide: MacenkoColour, reference: MacenkoColour) -> PatchMap:
    """Exchange stains, strengths and glass for those of the reference."""
    unmix = np.linalg.pinv(np.stack([slide.azure, slide.eosin]).T)
    gain = np.diag(np.divide(reference.strength, slide.strength))
    matrix = np.stack([reference.azure, reference.eosin]).T @ gain @ unmix
    # In logarithms of levels: log out = log glass' + matrix (log in - log glass).
    offset = np.log(np.add(reference.glass, 1)) - matrix @ np.log(np.add(slide.glass, 1))
    affine = np.column_stack([matrix, offset]).astype(np.float32)

    def recolour(patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
        logs = np.asarray(cv2.transform(cv2.LUT(patch, _LOG_LEVEL), affine))
        np.minimum(logs, _LOG_BRIGHTEST, out=logs)
        levels = cv2.exp(logs, dst=logs)
        return np.asarray(cv2.convertScaleAbs(levels, alpha=1, beta=-1), dtype=np.uint8)

    return each_patch(recolour)


def _extremes(
    absorbance: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    _, axes = np.linalg.eigh(absorbance.T @ absorbance)
    main = axes[:, 2] * np.sign(axes[:, 2].sum())
    plane = np.stack([main, axes[:, 1]])
    along, across = (absorbance @ plane.T).T
    angles = np.percentile(np.arctan2(across, along), _EXTREME_PERCENTILES)
    first, second = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane
    return _unit(np.maximum(first, 0)), _unit(np.maximum(second, 0))


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit


def _sine(first: Sequence[float] | NDArray[np.float64], second: object) -> float:
    return float(np.linalg.norm(np.cross(first, np.asarray(second))))


def _redness(stain: Sequence[float] | NDArray[np.float64]) -> float:
    return float(stain[0] - stain[2])


def _one_stain(seen: str) -> ImageError:
    return ImageError(
        f"its sampled pixels show one stain only ({seen}), and macenko needs two; leave the slide "
        'out or set stain = "reinhard"'
    )
