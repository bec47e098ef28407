"""The cells of a normal marrow, drawn one by one in Wright-Giemsa dyes.

What each kind looks like is written down in `KINDS`: sizes in microns, dyes as absorbance. The
figures follow textbook descriptions (cell and nuclear size, nuclear shape, tint and granules of
the cytoplasm) and were set by eye against photographs of stained cells.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cohorts.smear_shapes import (
    BLUE,
    EOSIN,
    PURPLE,
    Array,
    Dyes,
    arc,
    chromatin,
    grains,
    grid,
    mask,
    noise,
    outline,
    rim,
    stack,
    tube,
)

VARIANTS = 24
RED_CELL_RADIUS = 3.75

_Nucleus = tuple[NDArray[np.float64], NDArray[np.float64]]  # path (points, 2), radii (points,)
_NucleusMaker = Callable[[np.random.Generator, float], _Nucleus]


def _round(share: float, offset: float) -> _NucleusMaker:
    """Round to oval nucleus of `share` of the cell's radius, `offset` of the way to its border."""

    def make(rng: np.random.Generator, radius: float) -> _Nucleus:
        size = radius * share * rng.uniform(0.94, 1.06)
        stretch = size * rng.uniform(0.0, 0.22)
        shift = (radius - size) * offset
        path = np.array([[shift - stretch / 2, 0.0], [shift, 0.0], [shift + stretch / 2, 0.0]])
        return path, np.full(3, size - stretch / 2)

    return make


def _bent(share: float, span: float, thickness: float) -> _NucleusMaker:
    """Nucleus along an arc, from kidney (thick, short span) to band (thin, long span)."""

    def make(rng: np.random.Generator, radius: float) -> _Nucleus:
        path = arc(radius * share, span * rng.uniform(0.7, 1.2), 13)
        along = np.linspace(-1, 1, 13)
        swell = 1 + 0.2 * along**2 + rng.uniform(-0.15, 0.15) * along
        return path + rng.normal(0, 0.25, 2), radius * thickness * rng.uniform(0.9, 1.1) * swell

    return make


def _lobed(lobes: tuple[int, int], lobe_radius: float, thread: float) -> _NucleusMaker:
    """Nucleus of some lobes in a ring, joined by threads of chromatin."""

    def make(rng: np.random.Generator, radius: float) -> _Nucleus:
        count = int(rng.integers(lobes[0], lobes[1] + 1))
        turn = np.cumsum(rng.uniform(1.3, 1.75, count))
        away = radius * rng.uniform(0.38, 0.56, count)
        centres = np.stack([away * np.cos(turn), away * np.sin(turn)], axis=1)
        path = [
            centres + rng.normal(0, 0.3 * lobe_radius, (count, 2)) * step for step in (-1, 0, 1)
        ]
        radii = [np.full(count, lobe_radius) * rng.uniform(0.75, 1.0, count) for _ in path]
        for first, second in pairwise(centres):
            path.append(np.linspace(first, second, 9))
            radii.append(np.full(9, thread))
        return np.concatenate(path), np.concatenate(radii)

    return make


def _bunched(rng: np.random.Generator, radius: float) -> _Nucleus:
    """Give the large, folded nucleus of a megakaryocyte."""
    count = int(rng.integers(7, 12))
    return rng.normal(0, radius * 0.26, (count, 2)), radius * rng.uniform(0.2, 0.32, count)


@dataclass(frozen=True)
class CellKind:
    """How cells of one kind look.

    Attributes
    ----------
    diameter
        Smallest and largest, microns.
    wobble
        How far the outline departs from a circle, as a share of the radius.
    cytoplasm
        Absorbance of the three dyes away from granules and nucleus.
    nucleus
        Makes the nuclear shape, given the radius of the cell.
    density, nuclear_blue
        Absorbance of the nucleus in the purple and in the blue dye.
    grain, contrast
        Of the chromatin: size of its clumps in microns, and their strength.
    granules, granule_size, granule_share
        Dyes of the granules, their size in microns and the share of the cytoplasm they cover.
    vacuoles
        Largest number of holes in the cytoplasm.
    nucleoli
        Largest number of nucleoli, pale blue spots in the nucleus.
    softness
        Width of the nuclear border in microns.
    """

    diameter: tuple[float, float]
    wobble: float
    cytoplasm: Dyes
    nucleus: _NucleusMaker
    density: float
    nuclear_blue: float
    grain: float
    contrast: float
    granules: Dyes = (0.0, 0.0, 0.0)
    granule_size: float = 0.2
    granule_share: float = 0.0
    vacuoles: int = 0
    nucleoli: int = 0
    softness: float = 0.3


KINDS: Mapping[str, CellKind] = {
    "neutrophil": CellKind(
        (11.5, 13.5), 0.03, (0.06, 0.12, 0.05), _lobed((3, 4), 1.95, 0.5), 1.35, 0.06, 0.3, 0.22,
        granules=(0.16, 0.14, 0.0), granule_share=0.3,
    ),
    "band": CellKind(
        (12.0, 14.5), 0.03, (0.06, 0.12, 0.07), _bent(0.48, 3.4, 0.27), 1.3, 0.06, 0.3, 0.2,
        granules=(0.16, 0.13, 0.0), granule_share=0.3,
    ),
    "myelocyte": CellKind(
        (13.0, 16.5), 0.04, (0.08, 0.1, 0.16), _bent(0.3, 1.8, 0.44), 1.1, 0.08, 0.3, 0.18,
        granules=(0.3, 0.12, 0.0), granule_share=0.25,
    ),
    "promyelocyte": CellKind(
        (15.0, 19.0), 0.04, (0.1, 0.03, 0.34), _round(0.64, 0.75), 1.0, 0.1, 0.22, 0.13,
        granules=(0.6, 0.12, 0.0), granule_share=0.14, nucleoli=3,
    ),
    "lymphocyte": CellKind(
        (7.5, 10.5), 0.07, (0.04, 0.0, 0.36), _round(0.85, 0.5), 1.4, 0.1, 0.45, 0.22,
    ),
    "monocyte": CellKind(
        (14.0, 18.0), 0.11, (0.13, 0.05, 0.24), _bent(0.36, 2.3, 0.4), 1.05, 0.08, 0.35, 0.22,
        granules=(0.15, 0.02, 0.0), granule_size=0.18, granule_share=0.25, vacuoles=6,
    ),
    "eosinophil": CellKind(
        (12.0, 14.5), 0.03, (0.0, 0.36, 0.0), _lobed((2, 2), 2.35, 0.6), 1.3, 0.06, 0.32, 0.2,
        granules=(0.0, 0.62, 0.0), granule_size=0.24, granule_share=0.6,
    ),
    "erythroblast": CellKind(
        (8.0, 11.0), 0.07, (0.1, 0.24, 0.2), _round(0.62, 0.4), 1.7, 0.12, 0.4, 0.3,
    ),
    "early_erythroblast": CellKind(
        (11.5, 15.0), 0.07, (0.22, 0.05, 0.5), _round(0.72, 0.35), 1.3, 0.1, 0.4, 0.25,
    ),
    "megakaryocyte": CellKind(
        (34.0, 50.0), 0.08, (0.1, 0.14, 0.1), _bunched, 1.1, 0.08, 0.4, 0.22,
        granules=(0.14, 0.08, 0.0), granule_size=0.22, granule_share=0.35,
    ),
    "smudge": CellKind(
        (13.0, 18.0), 0.14, (0.0, 0.0, 0.0), _round(0.8, 0.2), 0.65, 0.02, 0.6, 0.3, softness=2.5,
    ),
    "platelet": CellKind(
        (1.8, 3.4), 0.15, (0.1, 0.06, 0.1), _round(0.45, 0.3), 0.35, 0.0, 0.2, 0.3,
        granules=(0.5, 0.1, 0.0), granule_share=0.45, softness=1.0,
    ),
}  # fmt: skip


@cache
def cell_sprites(kind: str) -> tuple[Array, ...]:
    """Draw `VARIANTS` cells of one kind of `KINDS`, the same in every process."""
    rng = np.random.default_rng([7, list(KINDS).index(kind)])
    return tuple(_draw_cell(rng, KINDS[kind]) for _ in range(VARIANTS))


def _draw_cell(rng: np.random.Generator, kind: CellKind) -> Array:
    radius = rng.uniform(*kind.diameter) / 2
    x, y = grid(radius * (1.15 + kind.wobble) + 0.5)
    cell = outline(rng, x, y, radius, kind.wobble)
    path, radii = kind.nucleus(rng, radius)
    nucleus = tube(x, y, path, radii) + np.float32(0.15) * noise(rng, cell.shape, 1.0)
    nucleus = np.minimum(nucleus, cell - np.float32(0.2))
    dense = chromatin(
        rng, nucleus, grain=kind.grain, contrast=kind.contrast, softness=kind.softness
    )
    dense *= 1 - 0.35 * _spots(rng, x, y, nucleus, kind.nucleoli, 0.8)

    around = mask(cell) * (1 - 0.85 * mask(nucleus, kind.softness))
    around *= 1 - 0.8 * _spots(rng, x, y, cell, kind.vacuoles, 0.6)
    tint = around * (1 + 0.3 * rim(cell, 0.3) + 0.1 * noise(rng, cell.shape, 0.6))
    granules = around * grains(rng, cell.shape, kind.granule_size, kind.granule_share)
    dyes = [tint * kind.cytoplasm[dye] + granules * kind.granules[dye] for dye in range(3)]
    return stack(
        dyes[PURPLE] + kind.density * dense,
        dyes[EOSIN],
        dyes[BLUE] + kind.nuclear_blue * dense,
    )


def _spots(
    rng: np.random.Generator, x: Array, y: Array, field: Array, most: int, radius: float
) -> Array:
    """Up to `most` round spots inside a field: vacuoles of a cell, nucleoli of a nucleus."""
    spots = np.zeros_like(field)
    inside = np.argwhere(field > radius)
    if most == 0 or len(inside) == 0:
        return spots
    for row, column in inside[rng.integers(len(inside), size=int(rng.integers(1, most + 1)))]:
        distance = np.hypot(x - x[0, column], y - y[row, 0])
        np.maximum(spots, mask(radius * rng.uniform(0.6, 1.2) - distance, 0.4), out=spots)
    return spots


@cache
def red_cell_sprites() -> tuple[Array, ...]:
    """Draw red cells: discs with central pallor, some oval, some taken up with RNA (bluish)."""
    rng = np.random.default_rng([7, len(KINDS)])
    return tuple(_draw_red_cell(rng) for _ in range(4 * VARIANTS))


def _draw_red_cell(rng: np.random.Generator) -> Array:
    radius = RED_CELL_RADIUS * rng.normal(1, 0.06)
    squeeze = rng.uniform(0.86, 1.0)
    x, y = grid(radius * 1.22 + 0.3)
    disc = outline(rng, x * np.float32(squeeze), y / np.float32(squeeze), radius, 0.05)
    shift = rng.normal(0, 0.25, 2).astype(np.float32)
    from_centre = np.hypot(x - shift[0], y - shift[1]) / np.float32(radius)
    ring = np.clip((from_centre - np.float32(rng.uniform(0.05, 0.25))) / 0.5, 0, 1)
    pallor = rng.choice([0.0, 0.2, 0.45, 0.7], p=[0.1, 0.2, 0.4, 0.3]) * rng.uniform(0.7, 1.2)
    thickness = mask(disc, 0.4) * (1 - pallor * (1 - ring**2 * (3 - 2 * ring)))
    thickness *= 0.3 * rng.uniform(0.85, 1.15) * (1 + 0.15 * rim(disc, 0.35))
    young = 0.25 * (rng.random() < 0.03)
    return stack(0.05 * thickness, thickness, (0.06 + young) * thickness)
