"""From dyes on glass to a scanned image: stain, light, focus, scanner."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cohorts.smear_shapes import Array, Dyes
from cohorts.smear_truth import Ellipse

_BAND_ROWS = 256


@dataclass(frozen=True)
class Laboratory:
    """How one centre stains and scans.

    Attributes
    ----------
    mpp
        Microns per pixel of the scanner.
    white
        RGB of empty glass, 0 to 255.
    stain
        Absorbance in red, green and blue light of one unit of the purple, eosin and blue dye.
    blur
        Deviation of the optical blur in pixels.
    sharpening
        Strength of the scanner's sharpening, which leaves the light halo around dark cells.
    noise
        Deviation of the sensor noise in grey levels.
    jpeg_quality
        1 to 100.
    """

    mpp: float
    white: tuple[float, float, float]
    stain: tuple[Dyes, Dyes, Dyes]
    blur: float
    sharpening: float
    noise: float
    jpeg_quality: int


def develop(rng: np.random.Generator, dyes: Array, laboratory: Laboratory) -> NDArray[np.uint8]:
    """Turn dyes into light: Beer-Lambert through the stain, under slightly uneven illumination."""
    stain = np.array(laboratory.stain).T * rng.normal(1, 0.07, 3)  # (light, dye), batch variation
    white = np.array(laboratory.white, dtype=np.float32) * np.float32(rng.normal(1, 0.01))
    height, width = dyes.shape[:2]
    image = np.empty((height, width, 3), dtype=np.uint8)
    fall_y = _falloff(rng, height)
    fall_x = _falloff(rng, width)[None, :, None] * np.minimum(white, 255)
    for top in range(0, height, _BAND_ROWS):  # in bands: a whole slide of floats leaves the cache
        rows = slice(top, top + _BAND_ROWS)
        absorbed = cv2.transform(dyes[rows], -stain)
        light = np.asarray(cv2.exp(absorbed)) * fall_x * fall_y[rows, None, None]
        image[rows] = cv2.convertScaleAbs(light)
    return image


def _falloff(rng: np.random.Generator, length: int) -> Array:
    """Brightness along one axis: full near the middle, a few per cent less at the ends."""
    position = np.linspace(-1, 1, length) - rng.uniform(-0.3, 0.3)
    return (1 - rng.uniform(0.01, 0.04) * position**2).astype(np.float32)


def defocus(rng: np.random.Generator, image: NDArray[np.uint8], area: Ellipse) -> None:
    """Blur an area, fully inside 0.85 of its radius and not at all outside 1.15."""
    reach = 1.2 * max(area.semi_x, area.semi_y)
    top, left = max(int(area.y - reach), 0), max(int(area.x - reach), 0)
    window = image[top : int(area.y + reach), left : int(area.x + reach)]
    step = 8
    y = top + np.arange(0, window.shape[0] + step, step)[:, None]
    x = left + np.arange(0, window.shape[1] + step, step)[None, :]
    share = np.clip((1.15 - area.radius(x.astype(float), y.astype(float))) / 0.3, 0, 1)
    size = (share.shape[1] * step, share.shape[0] * step)
    weight = np.asarray(cv2.resize(share.astype(np.float32), size))
    weight = weight[: window.shape[0], : window.shape[1]]
    blurred = np.asarray(cv2.GaussianBlur(window, (0, 0), rng.uniform(3.0, 6.0)))
    window[:] = cv2.blendLinear(blurred, window.copy(), weight, 1 - weight)


def scan(rng: np.random.Generator, image: NDArray[np.uint8], laboratory: Laboratory) -> None:
    """Blur, sharpen and add sensor noise, in place."""
    cv2.GaussianBlur(image, (0, 0), laboratory.blur, dst=image)
    wide = cv2.blur(image, (9, 9))
    strength = laboratory.sharpening
    cv2.addWeighted(image, 1 + strength, wide, -strength, 0, dst=image)
    tile, spare = 512, 128  # one block of noise serves every tile, shifted each time
    block = rng.standard_normal((tile + spare, tile + spare, 3), dtype=np.float32)
    noise = np.rint(block * np.float32(laboratory.noise)).astype(np.int8)
    for top in range(0, image.shape[0], tile):
        for left in range(0, image.shape[1], tile):
            window = image[top : top + tile, left : left + tile]
            down, right = rng.integers(spare, size=2)
            shifted = noise[down : down + window.shape[0], right : right + window.shape[1]]
            window[:] = cv2.add(window, shifted, dtype=cv2.CV_8U)
