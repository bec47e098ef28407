"""Neuroblastoma cells in the marrow, drawn singly and in syncytial clumps.

Small round blue cells of 9 to 13 microns, nuclei with fine, even ("salt and pepper") chromatin
that mould one another, scant pale cytoplasm without clear borders, at times a rosette around a
core of pink fibrils (neuropil). No granules, no clear rim: what sets them apart from lymphocytes
and erythroblasts.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cohorts.smear_shapes import (
    SPRITE_MPP,
    Array,
    chromatin,
    grid,
    mask,
    noise,
    outline,
    stack,
)

_ROSETTE_CELLS = 7
_NUCLEUS_SHARE = 0.86
_MOULDING_GAP = 0.1
_GAP = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))


@dataclass(frozen=True, eq=False)
class Clump:
    """One or more tumour cells that lie together.

    Attributes
    ----------
    sprite
        (side, side, 3) absorbance of the dyes, see `smear_shapes`.
    cells
        (cells, 3) float64: x and y of each nucleus from the centre of the sprite, and the radius
        of the cell; microns.
    """

    sprite: Array
    cells: NDArray[np.float64]

    @property
    def radius(self) -> float:
        """Of the circle around the whole clump, microns."""
        return float((np.hypot(self.cells[:, 0], self.cells[:, 1]) + self.cells[:, 2]).max())


def draw_clump(rng: np.random.Generator, cells: int) -> Clump:
    """Draw a clump of `cells` tumour cells; from seven cells on, one in four is a rosette."""
    radii = rng.triangular(4.3, 5.3, 6.6, cells)
    rosette = cells >= _ROSETTE_CELLS and rng.random() < 1 / 4
    centres = _ring(radii[:_ROSETTE_CELLS]) if rosette else np.zeros((1, 2))
    core = float(np.linalg.norm(centres[0]))
    for count in range(len(centres), cells):
        centres = np.vstack([centres, _next_to(rng, centres, radii[: count + 1], core)])
    if not rosette:
        centres = centres - centres.mean(axis=0)
    placed = np.column_stack([centres, radii])

    reach = float((np.hypot(centres[:, 0], centres[:, 1]) + radii).max()) + 4.0
    x, y = grid(reach)
    dense, bodies, nuclei = np.zeros((3, y.size, x.size), dtype=np.float32)
    for index in range(cells):
        here = _window(placed[index], len(bodies))
        body, nucleus = _cell_fields(rng, placed, index, x[:, here[1]], y[here[0]])
        dense[here] += _nucleus(rng, nucleus)
        np.maximum(bodies[here], mask(body, 0.7), out=bodies[here])
        np.maximum(nuclei[here], mask(nucleus), out=nuclei[here])
    # The cells of a clump share their cytoplasm, which also fills the gaps between them.
    shared = np.maximum(bodies, _closed(bodies))
    uneven = 1 + 0.15 * noise(rng, bodies.shape, 0.5) + 0.2 * noise(rng, bodies.shape, 2.0)
    cytoplasm = shared * (1 - 0.85 * nuclei) * uneven
    eosin = 0.09 * cytoplasm
    if rosette:
        eosin += _neuropil(rng, x, y, core) * (1 - 0.85 * nuclei)
    return Clump(stack(dense + 0.14 * cytoplasm, eosin, 0.2 * cytoplasm), placed)


def _ring(radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Set the first cells of a rosette side by side on a circle."""
    angle = (np.cumsum(radii) - radii / 2) * 2 * np.pi / radii.sum()
    away = 0.76 * radii.sum() / np.pi
    return np.asarray(away * np.column_stack([np.cos(angle), np.sin(angle)]))


def _next_to(
    rng: np.random.Generator,
    centres: NDArray[np.float64],
    radii: NDArray[np.float64],
    core: float,
) -> NDArray[np.float64]:
    """Find room for the last of `radii`: touching a cell, pressed on by few, outside the core."""
    angle = rng.uniform(0, 2 * np.pi, 24)
    host = rng.integers(len(centres), size=24)
    away = 0.76 * (radii[host] + radii[-1])
    places = centres[host] + away[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    apart = np.linalg.norm(places[:, None] - centres[None], axis=2)
    crowding = np.maximum(0.72 * (radii[:-1] + radii[-1]) - apart, 0).sum(axis=1)
    in_core = np.maximum(core - np.linalg.norm(places, axis=1), 0)
    spread = np.linalg.norm(places - centres.mean(axis=0), axis=1)
    cost = 3 * (crowding + in_core) + 0.4 * spread
    return np.asarray(places[np.argmin(cost)])


def _window(cell: NDArray[np.float64], side: int) -> tuple[slice, slice]:
    """Rows and columns of the sprite that one cell can reach."""
    half = int((cell[2] * 1.25 + 0.5) / SPRITE_MPP)
    column, row = (round(value / SPRITE_MPP) + side // 2 for value in cell[:2])
    rows = slice(max(row - half, 0), row + half + 1)
    return rows, slice(max(column - half, 0), column + half + 1)


def _cell_fields(
    rng: np.random.Generator, placed: NDArray[np.float64], index: int, x: Array, y: Array
) -> tuple[Array, Array]:
    """Fields of one cell and its nucleus, which ends where a neighbour is as near (moulding)."""
    centre_x, centre_y, radius = (float(value) for value in placed[index])
    x, y = x - np.float32(centre_x), y - np.float32(centre_y)
    body = outline(rng, x, y, radius, 0.08)
    nucleus = outline(rng, x, y, radius * _NUCLEUS_SHARE, 0.09)
    for other_x, other_y, other_radius in np.delete(placed, index, axis=0):
        step_x, step_y = other_x - centre_x, other_y - centre_y
        apart = np.hypot(step_x, step_y)
        if apart > radius + other_radius:
            continue
        border = apart * radius / (radius + other_radius) - _MOULDING_GAP
        along = (x * np.float32(step_x) + y * np.float32(step_y)) / np.float32(apart)
        np.minimum(nucleus, np.float32(border) - along, out=nucleus)
    return body, nucleus + np.float32(0.16) * noise(rng, nucleus.shape, 1.0)


def _closed(bodies: Array) -> Array:
    """Fill the gaps of a mask that are up to 4 microns wide; a quarter of the points will do."""
    small = cv2.resize(bodies, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    closed = cv2.GaussianBlur(cv2.morphologyEx(small, cv2.MORPH_CLOSE, _GAP), (0, 0), 1.0)
    return np.asarray(cv2.resize(closed, bodies.shape[::-1]), dtype=np.float32)


def _nucleus(rng: np.random.Generator, field: Array) -> Array:
    """Fine, even chromatin; some nuclei stain deeper than others."""
    fine = chromatin(rng, field, grain=0.16, contrast=0.17)
    return np.float32(rng.uniform(0.95, 1.35)) * fine * (1 + 0.1 * noise(rng, field.shape, 0.8))


def _neuropil(rng: np.random.Generator, x: Array, y: Array, core: float) -> Array:
    """Pink fibrils in the core of a rosette, `core` microns to the nuclei around, felted."""
    inside = mask(outline(rng, x, y, core, 0.08), 3.0)
    turned = np.arctan2(y, x) * 9 + 1.8 * noise(rng, inside.shape, 1.2)
    fibrils = np.cos(turned) * np.minimum(np.hypot(x, y) / np.float32(core), 1)
    felt = (1 + 0.3 * fibrils) * (1 + 0.25 * noise(rng, inside.shape, 0.3))
    return np.asarray(0.22 * inside * felt, dtype=np.float32)
