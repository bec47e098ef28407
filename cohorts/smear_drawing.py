"""Drawing one Wright-Giemsa marrow smear: an RGB image and the truth about what it shows.

Cells are laid on the glass as absorbances of three dyes (`smear_shapes`), which add up where
cells overlap; `smear_scanner` makes an image of them. Everything comes from one random generator.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cohorts.smear_cells import KINDS, RED_CELL_RADIUS, cell_sprites, red_cell_sprites
from cohorts.smear_scanner import Laboratory, defocus, develop, scan
from cohorts.smear_shapes import BLUE, EOSIN, SPRITE_MPP, Array
from cohorts.smear_truth import Ellipse, SmearTruth
from cohorts.smear_tumour import draw_clump

DRAWING_VERSION = 1  # to be raised whenever the same seed would draw another image

_NUCLEATED_PER_MM2 = 1500.0
_MEGAKARYOCYTES_PER_MM2 = 2.5
_GROUPS_PER_MM2 = 22.0  # erythroid islands and lymphoid groups
_RED_TRIES_PER_MM2 = 26_000.0
_PLATELETS_PER_MM2 = 500.0
_THICK_RED_PER_MM2 = 17_000.0
# Shares of the nucleated cells of a child's marrow, roughly as a differential count gives them.
_DIFFERENTIAL = {
    "neutrophil": 0.17, "band": 0.14, "myelocyte": 0.14, "promyelocyte": 0.04, "lymphocyte": 0.22,
    "monocyte": 0.04, "eosinophil": 0.04, "erythroblast": 0.15, "early_erythroblast": 0.04,
    "smudge": 0.02,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Smear:
    """A drawn slide: `image` (height, width, 3) RGB, and what it shows."""

    image: NDArray[np.uint8]
    truth: SmearTruth


def draw_smear(
    rng: np.random.Generator,
    laboratory: Laboratory,
    *,
    size: tuple[int, int],
    clumps: Sequence[int],
) -> Smear:
    """Draw a smear with the given tumour clumps.

    Parameters
    ----------
    rng
        Source of everything left to chance; the same state draws the same smear.
    laboratory
        Whose stain and scanner it shows.
    size
        Width and height in pixels.
    clumps
        Number of cells of each tumour clump; 1 is a single tumour cell. Empty draws none.
    """
    bare = _draw_areas(rng, size, laboratory.mpp)
    desk = _Desk(rng, bare)
    cells = [desk.lay_clump(count) for count in sorted(clumps, reverse=True)]
    desk.lay_nucleated()
    desk.lay_red_cells()
    desk.lay_platelets()
    desk.lay_thick()
    image = develop(rng, desk.dyes, laboratory)
    for area in bare.out_of_focus:
        defocus(rng, image, area)
    scan(rng, image, laboratory)
    truth = SmearTruth(
        width=bare.width,
        height=bare.height,
        mpp=bare.mpp,
        tumour_cells=np.concatenate([bare.tumour_cells, *cells]),
        out_of_focus=bare.out_of_focus,
        over_thick=bare.over_thick,
        edge=bare.edge,
    )
    return Smear(image, truth)


def _draw_areas(rng: np.random.Generator, size: tuple[int, int], mpp: float) -> SmearTruth:
    """Choose the end of the smear and its unreadable areas; together less than half the slide."""
    width, height = size
    rows = np.linspace(0, height, 9)
    ragged = rng.normal(0, 0.012 * width, 9).cumsum() * 0.6
    end = width * rng.uniform(0.88, 0.96) + ragged - ragged.mean()
    return SmearTruth(
        width=width,
        height=height,
        mpp=mpp,
        tumour_cells=np.empty((0, 3)),
        out_of_focus=tuple(
            _draw_area(rng, size, (0.1, 0.85), share=0.07) for _ in range(rng.integers(1, 3))
        ),
        over_thick=tuple(
            _draw_area(rng, size, (0.0, 0.4), share=0.08) for _ in range(rng.integers(1, 3))
        ),
        edge=np.column_stack([np.minimum(end, width), rows]),
    )


def _draw_area(
    rng: np.random.Generator, size: tuple[int, int], across: tuple[float, float], share: float
) -> Ellipse:
    """Draw an ellipse of up to `share` of the slide, its centre `across` the given part of it."""
    area = share * rng.uniform(0.5, 1.0) * size[0] * size[1]
    slenderness = rng.uniform(1.0, 1.7)
    semi = math.sqrt(area / math.pi)
    return Ellipse(
        x=round(rng.uniform(*across) * size[0], 1),
        y=round(rng.uniform(0.0, 1.0) * size[1], 1),
        semi_x=round(semi * slenderness, 1),
        semi_y=round(semi / slenderness, 1),
        angle=round(rng.uniform(0, np.pi), 3),
    )


class _Desk:
    """The glass while cells are laid on it: dyes so far, and the ground that is still free."""

    def __init__(self, rng: np.random.Generator, areas: SmearTruth) -> None:
        self._rng = rng
        self._areas = areas
        self._mpp = areas.mpp
        width, height = areas.width * areas.mpp, areas.height * areas.mpp  # microns
        self._extent = np.array([width, height])
        self._mm2 = width * height / 1e6
        self._taken = np.zeros((int(height) + 1, int(width) + 1), dtype=np.uint8)  # by the micron
        self.dyes: Array = self._film()

    def lay_clump(self, count: int) -> NDArray[np.float64]:
        """Lay a tumour clump where there is room; its cells (count, 3): x, y, radius in pixels."""
        clump = draw_clump(self._rng, count)
        x, y = self._free_place(clump.radius)
        turn = self._random_turn()
        cells = np.empty_like(clump.cells)
        cells[:, :2] = (x, y) + clump.cells[:, :2] @ turn.T
        cells[:, 2] = clump.cells[:, 2] * _enlargement(turn)
        for cell_x, cell_y, radius in cells.tolist():
            self._take(cell_x, cell_y, radius)
        cv2.fillConvexPoly(self._taken, cv2.convexHull(cells[:, :2].astype(np.int32)), 1)
        self._stamp(clump.sprite, x, y, turn)
        return cells / self._mpp

    def lay_nucleated(self) -> None:
        """Lay the cells of the normal marrow, erythroid islands and lymphoid groups among them."""
        rng = self._rng
        for _ in range(rng.poisson(_MEGAKARYOCYTES_PER_MM2 * self._mm2)):
            self._lay_cell("megakaryocyte", *self._free_place(24.0))
        for _ in range(rng.poisson(_GROUPS_PER_MM2 * self._mm2)):
            kind = "erythroblast" if rng.random() < 0.7 else "lymphocyte"
            self._lay_group(kind, int(rng.integers(4, 15)))
        kinds = list(_DIFFERENTIAL)
        mix = rng.dirichlet(40 * np.array(list(_DIFFERENTIAL.values())))
        total = rng.poisson(_NUCLEATED_PER_MM2 * self._mm2 * rng.uniform(0.6, 1.3))
        for index in rng.choice(len(kinds), size=total, p=mix):
            place = self._place()
            if self._is_free(*place, sum(KINDS[kinds[index]].diameter) / 4):
                self._lay_cell(kinds[index], *place)

    def _lay_group(self, kind: str, count: int) -> None:
        """Lay up to `count` cells close to each other, touching but keeping their outlines."""
        radius = sum(KINDS[kind].diameter) / 4
        centre = self._free_place(3 * radius)
        places = self._rng.normal(centre, 0.8 * radius * math.sqrt(count), (4 * count, 2))
        laid = 0
        for x, y in places.tolist():
            if laid < count and self._is_free(x, y, 0.6 * radius):
                young = kind == "erythroblast" and self._rng.random() < 0.15
                self._lay_cell("early_erythroblast" if young else kind, x, y)
                laid += 1

    def _lay_cell(self, kind: str, x: float, y: float) -> None:
        sprites = cell_sprites(kind)
        sprite = sprites[self._rng.integers(len(sprites))]
        self._stamp(sprite, x, y, self._random_turn())
        self._take(x, y, (len(sprite) / 2 * SPRITE_MPP - 0.5) * 0.92)

    def lay_red_cells(self) -> None:
        """Lay red cells in the gaps, side by side or slightly overlapping."""
        sprites = _red_sprites(self._mpp)
        # Red cells may slip a little under nucleated cells: only their centres keep away.
        reach = 2 * int(RED_CELL_RADIUS * 0.7) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        crowded = np.asarray(cv2.dilate(self._taken, disc), dtype=np.uint8)
        tries = self._rng.uniform(0, self._extent, (int(_RED_TRIES_PER_MM2 * self._mm2), 2))
        tries = tries[self._on_smear(tries)]
        spacing = RED_CELL_RADIUS * self._rng.uniform(1.2, 2.6, len(tries))
        for (x, y), apart in zip(tries.tolist(), spacing.tolist(), strict=True):
            if not crowded[int(y), int(x)]:
                cv2.circle(crowded, (int(x), int(y)), int(apart), 1, -1)
                self._add_red(sprites, x, y)

    def lay_platelets(self) -> None:
        """Strew platelets anywhere."""
        sprites = cell_sprites("platelet")
        mean = _PLATELETS_PER_MM2 * self._mm2 * self._rng.uniform(0.4, 1.4)
        for _ in range(self._rng.poisson(mean)):
            sprite = sprites[self._rng.integers(len(sprites))]
            self._stamp(sprite, *self._place(), self._random_turn())

    def lay_thick(self) -> None:
        """Pile red cells and plasma on the over-thick areas, fading out across their borders."""
        sprites = _red_sprites(self._mpp)
        for area in self._areas.over_thick:
            reach = max(area.semi_x, area.semi_y) * 1.3
            mm2 = (2 * reach * self._mpp) ** 2 / 1e6
            tries = self._rng.uniform(-reach, reach, (int(_THICK_RED_PER_MM2 * mm2), 2))
            tries = (tries + np.array([area.x, area.y])) * self._mpp
            depth = 1.15 - area.radius(tries[:, 0] / self._mpp, tries[:, 1] / self._mpp)
            kept = (self._rng.random(len(tries)) < depth / 0.3) & self._on_smear(tries)
            for x, y in tries[kept].tolist():
                self._add_red(sprites, x, y)

    def _add_red(self, sprites: Sequence[Array], x: float, y: float) -> None:
        sprite = sprites[int(self._rng.integers(len(sprites)))]
        _add(self.dyes, sprite, int(x / self._mpp), int(y / self._mpp))

    def _film(self) -> Array:
        """Start the glass: a breath of plasma, uneven, none on bare glass, more where thick."""
        rng, areas = self._rng, self._areas
        coarse = (areas.height // 16 + 1, areas.width // 16 + 1)
        y = np.linspace(0, areas.height, coarse[0])[:, None]
        x = np.linspace(0, areas.width, coarse[1])[None, :]
        level = np.full(coarse, 0.02)
        for area in areas.over_thick:
            level += 0.09 * np.clip((1.15 - area.radius(x, y)) / 0.3, 0, 1)
        cloud = cv2.resize(
            rng.uniform(0.6, 1.4, (7, 9)), coarse[::-1], interpolation=cv2.INTER_CUBIC
        )
        level = level * np.asarray(cloud) * ~areas.on_glass(x, y)
        level = np.asarray(cv2.GaussianBlur(level, (0, 0), 2.0))
        film = np.zeros((*coarse, 3), dtype=np.float32)
        film[:, :, EOSIN], film[:, :, BLUE] = 0.7 * level, level
        full = cv2.resize(film, (areas.width, areas.height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(full, dtype=np.float32)

    def _random_turn(self) -> NDArray[np.float64]:
        """Draw a rotation, perhaps mirrored, with a slight change of size: (2, 2)."""
        angle = self._rng.uniform(0, 2 * np.pi)
        cosine, sine = np.cos(angle), np.sin(angle)
        mirror = -1.0 if self._rng.random() < 0.5 else 1.0
        turn = np.array([[cosine, -sine * mirror], [sine, cosine * mirror]])
        return np.asarray(turn * self._rng.uniform(0.94, 1.06))

    def _stamp(self, sprite: Array, x: float, y: float, turn: NDArray[np.float64]) -> None:
        """Add a turned sprite at x, y (microns)."""
        to_pixels = turn * SPRITE_MPP / self._mpp
        half = int(len(sprite) / 2 * _enlargement(to_pixels)) + 1
        shift = half - to_pixels @ np.array([len(sprite) // 2, len(sprite) // 2])
        placed = cv2.warpAffine(
            sprite, np.column_stack([to_pixels, shift]), (2 * half + 1, 2 * half + 1)
        )
        strength = np.float32(self._rng.uniform(0.88, 1.1))
        turned = np.asarray(placed, dtype=np.float32) * strength
        _add(self.dyes, turned, int(x / self._mpp), int(y / self._mpp))

    def _on_smear(self, places: NDArray[np.float64]) -> NDArray[np.bool_]:
        return ~self._areas.on_glass(places[:, 0] / self._mpp, places[:, 1] / self._mpp)

    def _place(self, margin: float = 0.0) -> tuple[float, float]:
        """Draw a point of the smear, microns, at least `margin` from the borders of the slide."""
        while True:
            place = self._rng.uniform(margin, self._extent - margin)
            if self._on_smear(place[None])[0]:
                return float(place[0]), float(place[1])

    def _free_place(self, radius: float) -> tuple[float, float]:
        """Find room for a circle inside the slide; where 200 tries find none, overlap."""
        for _ in range(200):
            x, y = self._place(radius)
            if self._is_free(x, y, radius):
                break
        return x, y

    def _is_free(self, x: float, y: float, radius: float) -> bool:
        reach = int(radius * 0.8)
        rows = slice(max(int(y) - reach, 0), max(int(y) + reach + 1, 0))
        columns = slice(max(int(x) - reach, 0), max(int(x) + reach + 1, 0))
        return not self._taken[rows, columns].any()

    def _take(self, x: float, y: float, radius: float) -> None:
        cv2.circle(self._taken, (int(x), int(y)), int(radius), 1, -1)


@cache
def _red_sprites(mpp: float) -> list[Array]:
    """Red cells at the resolution of a slide, each in four orientations."""
    sprites = []
    for sprite in red_cell_sprites():
        side = round(len(sprite) * SPRITE_MPP / mpp)
        small = cv2.resize(sprite, (side, side), interpolation=cv2.INTER_AREA)
        red = np.asarray(small, dtype=np.float32)
        turned = (red, red[::-1], red[:, ::-1], red.swapaxes(0, 1))
        sprites += [np.ascontiguousarray(view) for view in turned]
    return sprites


def _enlargement(turn: NDArray[np.float64]) -> float:
    """By how much a rotation with a change of size enlarges."""
    return math.hypot(turn[0, 0], turn[1, 0])


def _add(dyes: Array, sprite: Array, x: int, y: int) -> None:
    """Add a sprite centred on a pixel, cut at the borders of the slide."""
    top, left = y - sprite.shape[0] // 2, x - sprite.shape[1] // 2
    rows = slice(max(top, 0), max(top + sprite.shape[0], 0))
    columns = slice(max(left, 0), max(left + sprite.shape[1], 0))
    ground = dyes[rows, columns]
    down, right = rows.start - top, columns.start - left
    ground += sprite[down : down + ground.shape[0], right : right + ground.shape[1]]
