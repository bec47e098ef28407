from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from feature_extraction.quality import MEASURES, measure_quality

GLASS = np.array([245.0, 240.0, 235.0])
RED_CELL = (0.02, 0.15, 0.18)  # absorbance in red, green and blue light
NUCLEUS = (0.40, 0.60, 0.20)


def drawn(absorbance: NDArray[np.float64], glass: NDArray[np.float64] = GLASS) -> np.ndarray:
    """A patch (p, p, 3) of so much absorbance, by Beer-Lambert."""
    return np.clip(np.rint(glass * 10.0**-absorbance), 0, 255).astype(np.uint8)


def discs(
    seed: int, count: int, radius: float, colour: tuple[float, float, float], side: int = 224
) -> NDArray[np.float64]:
    """Absorbance of cells that add up where they overlap."""
    rng = np.random.default_rng(seed)
    field = np.zeros((side, side, 3))
    for x, y in rng.uniform(0, side, (count, 2)):
        cell = np.zeros((side, side))
        centre = (round(x * 16), round(y * 16))
        cv2.circle(cell, centre, round(radius * 16), 1.0, -1, cv2.LINE_AA, shift=4)
        field += cell[..., None] * colour
    return field


def monolayer(strength: float = 1.0) -> NDArray[np.float64]:
    """Red cells side by side on glass, 7 microns wide at half a micron a pixel."""
    field = np.zeros((224, 224, 3))
    for y in range(10, 224, 20):
        for x in range(10, 224, 20):
            cell = np.zeros((224, 224))
            cv2.circle(cell, (x, y), 7, 1.0, -1)
            field += cell[..., None] * RED_CELL
    return field * strength


def measured(patch: np.ndarray, mpp: float | None = 0.5) -> dict[str, float]:
    return {
        name: float(value[0]) for name, value in measure_quality(patch[None], GLASS, mpp).items()
    }


def test_shares_are_those_of_the_drawing() -> None:
    field = np.zeros((224, 224, 3))
    field[:, :56] = NUCLEUS
    field[:, 56:112] = RED_CELL
    quality = measured(drawn(field))
    assert quality["stained"] == pytest.approx(0.5)
    assert quality["cellularity"] == pytest.approx(0.25)
    assert quality["ink"] == 0
    # Half of a nucleus's and half of a red cell's distance between palest and deepest channel.
    assert quality["saturation"] == pytest.approx((0.40 + 0.16) / 2, abs=0.01)


def test_overlap_counts_layers_on_the_ground_between_nuclei() -> None:
    layers = np.zeros((224, 224, 3))
    layers[:, :168] += RED_CELL
    layers[:112, :168] += RED_CELL
    # A quarter of glass, three eighths of one layer, three eighths of two; nuclei change nothing.
    expected = 3 / 8 * 1 + 3 / 8 * 2
    assert measured(drawn(layers))["overlap"] == pytest.approx(expected, abs=0.02)
    layers[:, ::2] = NUCLEUS
    assert measured(drawn(np.roll(layers, 1, axis=1)))["overlap"] == pytest.approx(
        expected, abs=0.02
    )


@pytest.mark.parametrize("strength", [0.8, 1.0, 2.0])
def test_a_deep_stain_is_not_a_thick_area(strength: float) -> None:
    thin = measured(drawn(monolayer(strength)))["overlap"]
    piled = measured(drawn(discs(1, 700, 7, RED_CELL) * strength))["overlap"]
    assert thin < 0.5
    assert piled > 1.0


def test_a_clump_of_dark_piled_nuclei_is_not_a_thick_area() -> None:
    clump = monolayer()
    clump[40:190, 40:190] = 0
    clump[40:190, 40:190] = discs(2, 60, 11, NUCLEUS)[40:190, 40:190]
    assert measured(drawn(clump))["overlap"] < 0.6
    assert measured(drawn(discs(3, 300, 11, NUCLEUS)))["overlap"] == 0


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_blur_lowers_sharpness_in_order(mpp: float) -> None:
    pixels = drawn(discs(4, 60, 3.5 / mpp, RED_CELL) + discs(5, 8, 5 / mpp, NUCLEUS))
    blurred = [cv2.GaussianBlur(pixels, (0, 0), width / mpp) for width in (0.25, 0.75, 1.5, 3.0)]
    sharpness = [measured(patch, mpp)["sharpness"] for patch in [pixels, *blurred]]
    assert sharpness == sorted(sharpness, reverse=True)
    assert sharpness[1] > 0.75
    assert sharpness[3] < 0.45


@pytest.mark.parametrize("width", [1.0, 1.5])
@pytest.mark.parametrize("mpp", [0.25, 0.35, 0.5])
def test_a_soft_edge_has_the_sharpness_of_its_slope_at_any_scale(mpp: float, width: float) -> None:
    x = (np.arange(224) - 112) * mpp
    ramp = np.interp(x, [-width / 2, width / 2], [240, 60]).astype(np.uint8)
    patch = np.repeat(np.broadcast_to(ramp, (224, 224))[..., None], 3, axis=2)
    assert measured(patch, mpp)["sharpness"] == pytest.approx(1 / width, rel=0.15)


@pytest.mark.parametrize("strength", [0.7, 2.0])
@pytest.mark.parametrize("lamp", [0.85, 1.0])
def test_sharpness_depends_little_on_stain_and_light(strength: float, lamp: float) -> None:
    usual = measured(drawn(monolayer()))["sharpness"]
    patch = drawn(monolayer(strength), GLASS * lamp)
    other = measure_quality(patch[None], GLASS * lamp, 0.5)["sharpness"][0]
    assert other == pytest.approx(usual, rel=0.05)


def test_empty_glass_is_not_blurred_and_a_stained_mist_is() -> None:
    rng = np.random.default_rng(0)
    glass = np.clip(rng.normal(GLASS, 2, (224, 224, 3)), 0, 255).astype(np.uint8)
    quality = measured(glass)
    assert (quality["stained"], quality["overlap"], quality["ink"]) == (0, 0, 0)
    assert quality["sharpness"] == 1
    assert measured(drawn(np.full((224, 224, 3), 0.2)))["sharpness"] == 0


def test_few_cells_are_judged_by_their_edges_not_by_the_glass_around() -> None:
    field = np.zeros((224, 224, 3))
    field[60:80, 60:80] = RED_CELL
    lone = measured(drawn(field))
    assert lone["stained"] < 0.02
    assert lone["sharpness"] > 0.75


@pytest.mark.parametrize(
    "ink", [(25, 25, 28), (20, 110, 60), (30, 50, 170), (200, 20, 30)], ids=str
)
def test_marker_ink_is_told_from_stain(ink: tuple[int, int, int]) -> None:
    patch = drawn(monolayer())
    assert measured(patch)["ink"] == 0
    patch[:56] = ink
    assert measured(patch)["ink"] == pytest.approx(0.25)


def test_piled_nuclei_deep_red_cells_and_blue_cytoplasm_are_not_ink() -> None:
    for colour in (NUCLEUS, (0.8, 1.2, 0.4), (0.1, 0.7, 0.75), (0.45, 0.4, 0.08)):
        assert measured(drawn(np.full((64, 64, 3), colour)))["ink"] == 0, colour


def test_grey_dust_has_no_colour() -> None:
    dust = measured(drawn(np.full((64, 64, 3), 0.3)))["saturation"]
    assert dust < 0.01 < 0.1 < measured(drawn(monolayer()))["saturation"]


def test_a_patch_is_measured_by_itself() -> None:
    rng = np.random.default_rng(1)
    patches = np.stack(
        [
            drawn(discs(seed, 40 * seed, 7, RED_CELL) + discs(seed, 5, 12, NUCLEUS))
            for seed in range(5)
        ]
    )
    order = rng.permutation(5)
    together = measure_quality(patches, GLASS, 0.5)
    shuffled = measure_quality(patches[order], GLASS, 0.5)
    for name, values in together.items():
        np.testing.assert_array_equal(values[order], shuffled[name])
        alone = [measure_quality(patch[None], GLASS, 0.5)[name][0] for patch in patches]
        np.testing.assert_array_equal(values, alone)


@pytest.mark.parametrize("mpp", [None, 0.05, 0.25, 0.5, 2.0])
@pytest.mark.parametrize("side", [16, 17, 50, 112, 225])
@pytest.mark.parametrize("count", [0, 2])
def test_all_sizes_are_measured_in_finite_numbers(count: int, side: int, mpp: float | None) -> None:
    rng = np.random.default_rng(side)
    pixels = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    quality = measure_quality(pixels, GLASS, mpp)
    assert tuple(quality) == tuple(MEASURES)
    for values in quality.values():
        assert values.shape == (count,)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert (values >= 0).all()


def test_green_ink_on_a_real_slide_is_found(real_slide: object) -> None:
    """The Aperio region is marked with green ink along the upper right border of the tissue."""
    import openslide

    path = real_slide("cmu_small_region.svs")  # type: ignore[operator]
    assert isinstance(path, Path)
    with openslide.OpenSlide(path) as slide:
        shares = [
            measured(np.asarray(slide.read_region(corner, 0, (224, 224)).convert("RGB")))["ink"]
            for corner in ((1650, 1800), (700, 1100))
        ]
    assert shares[0] > 0.02
    assert shares[1] < 0.01
