"""Shapes and textures that drawn cells are made of, in microns from the centre of a sprite.

A sprite is a (side, side, 3) float32 array: the absorbance, in units of each dye, of the three
dyes `PURPLE` (azure B with eosin on chromatin and azurophilic granules), `EOSIN` (haemoglobin,
eosinophilic granules) and `BLUE` (methylene blue on cytoplasmic RNA). Absorbances of things that
lie on each other add up, so sprites are drawn on a smear by addition.

A field gives each point its depth in microns below the outline of a shape, negative outside;
masks made of fields have soft borders and need no further anti-aliasing.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

SPRITE_MPP = 0.125
PURPLE, EOSIN, BLUE = range(3)

Array = NDArray[np.float32]
Dyes = tuple[float, float, float]

_BANK_SIDE = 1024


def grid(reach: float) -> tuple[Array, Array]:
    """Coordinates x (1, side) and y (side, 1) of a square that reaches `reach` microns out."""
    half = int(np.ceil(reach / SPRITE_MPP))
    axis = (np.arange(-half, half + 1) * SPRITE_MPP).astype(np.float32)
    return axis[None, :], axis[:, None]


def outline(rng: np.random.Generator, x: Array, y: Array, radius: float, wobble: float) -> Array:
    """Field of a disc whose radius waves by about the share `wobble`, as a cell's does."""
    across, down = np.broadcast_arrays(x, y)
    distance, angle = cv2.cartToPolar(np.ascontiguousarray(across), np.ascontiguousarray(down))
    turn = np.linspace(0, 2 * np.pi, 513)
    edge = np.full(513, radius)
    for order in (2, 3, 4, 5):
        swing = radius * wobble * rng.normal() / order
        edge += swing * np.cos(order * turn + rng.uniform(0, 2 * np.pi))
    step = (np.asarray(angle) * np.float32(512 / (2 * np.pi))).astype(np.intp)
    return edge.astype(np.float32)[step] - np.asarray(distance, dtype=np.float32)


def tube(x: Array, y: Array, path: NDArray[np.float64], radii: NDArray[np.float64]) -> Array:
    """Field of the union of discs along `path` (points, 2): nuclei from round to segmented."""
    field = np.full((y.shape[0], x.shape[1]), -np.inf, dtype=np.float32)
    for (centre_x, centre_y), radius in zip(path, radii, strict=True):
        squared = np.square(x - np.float32(centre_x)) + np.square(y - np.float32(centre_y))
        np.maximum(field, np.float32(radius) - np.sqrt(squared), out=field)
    return field


def arc(curvature_radius: float, span: float, points: int) -> NDArray[np.float64]:
    """Points (points, 2) along an arc of `span` radians, centred on its middle height."""
    angle = np.linspace(-span / 2, span / 2, points)
    path = curvature_radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    middle: NDArray[np.float64] = path - (path.max(axis=0) + path.min(axis=0)) / 2
    return middle


def mask(field: Array, softness: float = 0.3) -> Array:
    """Share of each point that the shape covers; the border is `softness` microns wide."""
    covered: Array = np.clip(field / np.float32(softness) + np.float32(0.5), 0, 1)
    return covered


def rim(field: Array, width: float) -> Array:
    """Draw a line along the inside of a shape's border, 1 at its strongest."""
    line: Array = np.exp(-np.square((field - np.float32(width)) / np.float32(width)))
    return line


def noise(rng: np.random.Generator, shape: tuple[int, ...], grain: float) -> Array:
    """Smooth noise of mean 0 and deviation 1 with grains of about `grain` microns."""
    bank = _noise_bank(grain)
    top = rng.integers(_BANK_SIDE - shape[0] + 1)
    left = rng.integers(_BANK_SIDE - shape[1] + 1)
    return bank[top : top + shape[0], left : left + shape[1]]


@cache
def _noise_bank(grain: float) -> Array:
    """Draw the noise once per process: windows of it are all that a texture needs."""
    white = np.random.default_rng(int(grain * 1000)).standard_normal(
        (_BANK_SIDE, _BANK_SIDE), dtype=np.float32
    )
    smooth = np.asarray(cv2.GaussianBlur(white, (0, 0), grain / SPRITE_MPP), dtype=np.float32)
    bank: Array = (smooth - smooth.mean()) / smooth.std()
    return bank


def grains(rng: np.random.Generator, shape: tuple[int, ...], size: float, share: float) -> Array:
    """Granules of about `size` microns that cover about `share` of the area, 0 to 1."""
    level = np.quantile(_noise_bank(size)[::8, ::8], 1 - share)
    covered: Array = np.clip((noise(rng, shape, size) - np.float32(level)) * 2, 0, 1)
    return covered


def chromatin(
    rng: np.random.Generator, field: Array, *, grain: float, contrast: float, softness: float = 0.3
) -> Array:
    """Density of a nucleus, about 1 inside: chromatin in grains, denser along the membrane."""
    texture = 1 + np.float32(contrast) * noise(rng, field.shape, grain) + 0.12 * rim(field, 0.25)
    density: Array = mask(field, softness) * np.clip(texture, 0.35, 1.8)
    return density


def stack(purple: Array, eosin: Array, blue: Array) -> Array:
    """Make a sprite of the amounts of the three dyes."""
    return np.ascontiguousarray(np.stack([purple, eosin, blue], axis=2), dtype=np.float32)
