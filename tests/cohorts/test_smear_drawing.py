import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cohorts.smear_cells import KINDS, cell_sprites
from cohorts.smear_drawing import Smear, draw_smear
from cohorts.smear_scanner import Laboratory
from cohorts.smear_shapes import PURPLE
from cohorts.smear_tumour import draw_clump

LABORATORY = Laboratory(
    mpp=0.25,
    white=(250, 240, 230),
    stain=((0.58, 1.0, 0.2), (0.32, 0.88, 0.74), (1.0, 0.8, 0.12)),
    blur=0.7,
    sharpening=0.3,
    noise=2.0,
    jpeg_quality=90,
)


def draw(seed: int, clumps: tuple[int, ...]) -> Smear:
    rng = np.random.default_rng(seed)
    return draw_smear(rng, LABORATORY, size=(1536, 1152), clumps=clumps)


@pytest.fixture(scope="module")
def smear() -> Smear:
    return draw(5, (20, 9, 6, 1, 1))


def pixel_axes(smear: Smear) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.arange(1536.0)[None, :], np.arange(1152.0)[:, None]


def test_the_same_generator_draws_the_same_smear(smear: Smear) -> None:
    again = draw(5, (20, 9, 6, 1, 1))
    assert np.array_equal(again.image, smear.image)
    assert np.array_equal(again.truth.tumour_cells, smear.truth.tumour_cells)
    assert not np.array_equal(draw(6, (20,)).image, smear.image)


def test_every_tumour_cell_is_where_the_truth_says(smear: Smear) -> None:
    assert len(smear.truth.tumour_cells) == 37
    background = np.median(smear.image[:, :, 0])
    for x, y, radius in smear.truth.tumour_cells:
        half = int(radius / 3)
        nucleus = smear.image[int(y) - half : int(y) + half, int(x) - half : int(x) + half]
        assert nucleus[:, :, 0].mean() < 0.75 * background
        assert 4.0 < radius * LABORATORY.mpp < 7.1


def test_without_clumps_there_is_no_tumour() -> None:
    assert draw(7, ()).truth.tumour_cells.shape == (0, 3)


def test_areas_look_as_the_truth_says(smear: Smear) -> None:
    x, y = pixel_axes(smear)
    truth = smear.truth
    green = smear.image[:, :, 1].astype(np.float32)
    detail = np.abs(np.asarray(cv2.Laplacian(green, cv2.CV_32F)))
    readable = truth.readable(x, y)
    glass = truth.on_glass(x - 40, y)  # past the cells that hang over the edge
    blurred = np.logical_or.reduce([area.radius(x, y) < 0.8 for area in truth.out_of_focus])
    thick = np.logical_or.reduce([area.radius(x, y) < 0.8 for area in truth.over_thick])
    assert green[glass].mean() > 220
    assert green[thick & ~blurred].mean() < green[readable].mean() - 15
    assert detail[blurred & ~thick].mean() < 0.7 * detail[readable].mean()


def test_most_of_a_smear_is_readable() -> None:
    fractions = [draw(seed, ()).truth.readable_fraction for seed in range(6)]
    assert min(fractions) >= 0.55


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_whole_and_stained(kind: str) -> None:
    for sprite in cell_sprites(kind):
        assert sprite.dtype == np.float32
        border = np.concatenate([sprite[0], sprite[-1], sprite[:, 0], sprite[:, -1]])
        assert border.max() < 0.05
        assert sprite.min() >= 0
        assert sprite[:, :, PURPLE].max() > 0.3


@pytest.mark.parametrize("cells", [1, 6, 30])
def test_clumps_are_whole_and_nuclei_do_not_cover_each_other(cells: int) -> None:
    for seed in range(5):
        clump = draw_clump(np.random.default_rng(seed), cells)
        border = np.concatenate([clump.sprite[0], clump.sprite[:, 0], clump.sprite[-1]])
        assert border.max() < 0.05
        assert clump.cells.shape == (cells, 3)
        apart = np.linalg.norm(clump.cells[:, None, :2] - clump.cells[None, :, :2], axis=2)
        touching = clump.cells[:, None, 2] + clump.cells[None, :, 2]
        assert (apart + 1e9 * np.eye(cells) > 0.4 * touching).all()
