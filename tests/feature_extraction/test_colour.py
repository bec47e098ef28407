"""Colour normalisation on images mixed from known stains."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchstain.numpy.normalizers import NumpyMacenkoNormalizer, NumpyReinhardNormalizer
from torchstain.numpy.utils.rgb2lab import rgb2lab

from cohorts.errors import FileFormatError, ImageError, SettingsError
from cohorts.files import read_json, write_json
from feature_extraction.colour import (
    METHODS_WITH_REFERENCE,
    ColourReference,
    Method,
    fit_reference,
    fit_slide,
    normaliser,
)
from feature_extraction.colour.grey_world import GreyWorldColour
from feature_extraction.colour.macenko import MacenkoColour
from feature_extraction.colour.reinhard import ReinhardColour

Rgb = np.ndarray
METHODS: tuple[Method, ...] = ("grey-world", "reinhard", "macenko")
WITH_REFERENCE: tuple[Method, ...] = ("reinhard", "macenko")
AZURE, EOSIN = (0.60, 0.76, 0.25), (0.15, 0.62, 0.77)
OTHER_AZURE, OTHER_EOSIN = (0.72, 0.65, 0.24), (0.08, 0.70, 0.71)
GLASS = (244.0, 238.0, 231.0)


def unit(stain: Sequence[float]) -> np.ndarray:
    return np.array(stain) / np.linalg.norm(stain)


def amounts(seed: int = 0, side: int = 128) -> np.ndarray:
    """A fifth of nuclei, a third of red cells, the rest glass: (side, side, 2)."""
    rng = np.random.default_rng(seed)
    kind = rng.random((side, side))
    nuclei, red = kind < 0.2, kind > 0.67
    azure = np.where(nuclei, rng.uniform(0.6, 2.0, kind.shape), 0)
    # Every pixel of a red cell is a little basophil, every nucleus a little eosinophil.
    eosin = np.where(red, rng.uniform(0.45, 0.9, kind.shape), 0)
    return np.stack([azure + 0.02 * red, eosin + 0.02 * nuclei], axis=2)


def mixed(
    stained: np.ndarray,
    azure: Sequence[float] = AZURE,
    eosin: Sequence[float] = EOSIN,
    glass: Sequence[float] = GLASS,
) -> Rgb:
    """Beer-Lambert: the light that passes the glass and two stains."""
    absorbance = stained @ np.stack([unit(azure), unit(eosin)])
    levels = (np.array(glass) + 1) * np.exp(-absorbance) - 1
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def normalised(method: Method, image: Rgb, towards: Rgb) -> Rgb:
    reference = None
    if method in METHODS_WITH_REFERENCE:
        reference = fit_reference([fit_slide(method, towards)])
    return normaliser(fit_slide(method, image), reference)(image[None])[0]


def difference(one: Rgb, other: Rgb) -> np.ndarray:
    return np.abs(one.astype(int) - other.astype(int))


def without_glass(seed: int, azure: Sequence[float], eosin: Sequence[float]) -> Rgb:
    """Pure stains and mixtures that absorb in all channels: stained by every definition."""
    rng = np.random.default_rng(seed)
    total = rng.uniform(0.9, 1.6, (96, 96))
    share = np.clip(rng.uniform(-0.2, 1.2, (96, 96)), 0, 1)
    return mixed(np.stack([total * share, total * (1 - share)], axis=2), azure, eosin, (200,) * 3)


# Known answers


def test_macenko_finds_the_stains_and_the_glass_of_a_mixture() -> None:
    found = fit_slide("macenko", mixed(amounts()))
    assert isinstance(found, MacenkoColour)
    assert found.glass == GLASS
    np.testing.assert_allclose(found.azure, unit(AZURE), atol=0.02)
    np.testing.assert_allclose(found.eosin, unit(EOSIN), atol=0.02)
    strongest = np.percentile(amounts()[amounts().sum(axis=2) > 0.1], 99, axis=0)
    np.testing.assert_allclose(found.strength, strongest, rtol=0.03)


@pytest.mark.parametrize("swapped", [False, True])
def test_macenko_orders_stains_by_the_light_they_absorb(swapped: bool) -> None:
    """Not by amount: where red cells outweigh nuclei, azure still comes first."""
    stained = amounts() * ([0.6, 3.0] if swapped else [1.0, 0.8])
    found = fit_slide("macenko", mixed(stained))
    assert isinstance(found, MacenkoColour)
    assert (found.strength[0] < found.strength[1]) == swapped
    assert found.azure[0] - found.azure[2] > 0.2
    assert found.eosin[2] - found.eosin[0] > 0.2


def test_reinhard_measures_cielab_of_the_stained_pixels() -> None:
    image = mixed(amounts())
    found = fit_slide("reinhard", image)
    assert isinstance(found, ReinhardColour)
    lab = rgb2lab(image[amounts().sum(axis=2) > 0.1] / 255) * [1 / 2.55, 1, 1] - [0, 128, 128]
    np.testing.assert_allclose(found.mean, lab.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(found.std, lab.std(axis=0), atol=0.02)


def test_grey_world_makes_half_glass_half_stain_grey() -> None:
    image = mixed(amounts(), glass=(225.0, 215.0, 205.0))
    grey = normalised("grey-world", image, image)
    stained = amounts().sum(axis=2) > 0.1
    scene = (grey[stained].mean(axis=0) + grey[~stained].mean(axis=0)) / 2
    np.testing.assert_allclose(scene, scene.mean(), atol=0.5)


def test_statistics_do_not_depend_on_how_much_glass_is_seen() -> None:
    image = mixed(amounts()).reshape(-1, 3)
    more_glass = np.concatenate([image, np.full((40000, 3), GLASS, dtype=np.uint8)])
    for method in METHODS:
        assert fit_slide(method, more_glass) == fit_slide(method, image)


# Agreement with torchstain


HERE = without_glass(1, AZURE, (0.2, 0.6, 0.77))
THERE = without_glass(2, (0.7, 0.6, 0.36), (0.25, 0.72, 0.65))


def test_reinhard_agrees_with_torchstain_where_everything_is_stained() -> None:
    """It measures all pixels, and truncates where we round: one level apart."""
    theirs = NumpyReinhardNormalizer()
    theirs.fit(THERE)
    apart = difference(normalised("reinhard", HERE, THERE), theirs.normalize(HERE))
    assert apart.max() <= 1


def test_macenko_agrees_with_torchstain_where_the_definitions_do() -> None:
    """Two stains that absorb in all channels, no glass, the same light: one level apart.

    It adds 1 to a level before the logarithm and does not take it off again. Its plane passes
    through the mean, ours through the glass; for two stains without a third they are one.
    """
    theirs = NumpyMacenkoNormalizer()
    theirs.fit(THERE, Io=201)
    expected = theirs.normalize(HERE, Io=201, stains=False)[0] - 1
    apart = difference(normalised("macenko", HERE, THERE), expected)
    assert apart.max() <= 1


# Invariances


@pytest.mark.parametrize(("method", "tolerance"), [("reinhard", 0), ("macenko", 1)])
def test_the_reference_slide_stays_as_it_is(method: Method, tolerance: int) -> None:
    image = mixed(amounts())
    assert difference(normalised(method, image, image), image).max() <= tolerance


@pytest.mark.parametrize("method", METHODS)
def test_normalising_twice_is_normalising_once(method: Method) -> None:
    target = mixed(amounts(3))
    once = normalised(method, mixed(amounts(4), OTHER_AZURE, OTHER_EOSIN, (226, 221, 235)), target)
    twice = normalised(method, once, target)
    assert difference(twice, once).mean() < 0.5
    assert difference(twice, once).max() <= 3


def test_grey_world_undoes_a_tint_of_the_light() -> None:
    image = mixed(amounts(), glass=(215.0, 210.0, 212.0))
    tinted = np.rint(image * np.array([1.1, 0.98, 1.03])).astype(np.uint8)
    one, other = (normalised("grey-world", each, each) for each in (image, tinted))
    brightness = other.astype(float).mean() / one.mean()
    assert np.abs(other / brightness - one).max() <= 2


def test_macenko_brings_other_stains_strengths_and_glass_back() -> None:
    """The same cells, stained elsewhere: 30% less azure, 20% more eosin, other dyes and light."""
    here = mixed(amounts())
    there = mixed(amounts() * [0.7, 1.2], OTHER_AZURE, OTHER_EOSIN, (228, 233, 240))
    back = difference(normalised("macenko", there, here), here)
    assert difference(there, here).mean() > 8
    assert back.mean() < 1.5
    assert np.percentile(back, 99) <= 5


def test_reinhard_brings_mean_and_deviation_back() -> None:
    here = mixed(amounts())
    there = mixed(amounts() * [0.7, 1.2], OTHER_AZURE, OTHER_EOSIN, (228, 233, 240))
    stained = amounts().sum(axis=2) > 0.1
    lab = [
        rgb2lab(image[stained] / 255).astype(float)
        for image in (normalised("reinhard", there, here), here)
    ]
    np.testing.assert_allclose(lab[0].mean(axis=0), lab[1].mean(axis=0), atol=0.6)
    np.testing.assert_allclose(lab[0].std(axis=0), lab[1].std(axis=0), atol=0.6)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25, deadline=None)
@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 9), st.just(3)),
    )
)
def test_any_patches_come_out_each_by_itself_and_untouched(method: Method, patches: Rgb) -> None:
    slide = mixed(amounts(0, 48), OTHER_AZURE, OTHER_EOSIN, (228, 233, 240))
    reference = (
        fit_reference([fit_slide(method, mixed(amounts()))]) if method != "grey-world" else None
    )
    recolour, before = normaliser(fit_slide(method, slide), reference), patches.copy()
    together = recolour(patches)
    assert together.shape == patches.shape
    assert together.dtype == np.uint8
    np.testing.assert_array_equal(patches, before)
    for index in range(len(patches)):
        np.testing.assert_array_equal(recolour(patches[index : index + 1])[0], together[index])


@pytest.mark.parametrize("method", METHODS)
def test_brightness_keeps_its_order_and_extremes_do_not_wrap_around(method: Method) -> None:
    """Black, white and all greys: what leaves 0..255 is cut there."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, None, :, None], 3, axis=3)
    faint = mixed(amounts() * [0.3, 0.4], OTHER_AZURE, OTHER_EOSIN, (210, 215, 205))
    reference = (
        fit_reference([fit_slide(method, mixed(amounts()))]) if method != "grey-world" else None
    )
    shades = normaliser(fit_slide(method, faint), reference)(ramp)[0, 0].astype(int)
    assert np.diff(shades.sum(axis=1)).min() >= -3
    assert shades[0].max() < 40
    assert shades[255].min() > 200


# Slides that cannot be measured


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.uint8, st.tuples(st.integers(0, 60), st.integers(1, 60), st.just(3))),
    st.sampled_from(METHODS),
)
def test_any_sample_is_measured_or_refused(sample: Rgb, method: Method) -> None:
    try:
        colour = fit_slide(method, sample)
    except ImageError as error:
        assert "leave the slide out or set stain" in str(error)
        return
    reference = fit_reference([colour]) if method != "grey-world" else None
    same = normaliser(colour, reference)(sample[None])
    assert same.shape == (1, *sample.shape)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sample", [np.zeros((0, 3)), np.full((64, 64, 3), 240)])
def test_an_empty_glass_is_refused(method: Method, sample: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"^0 of \d+ sampled pixels are stained, .* set stain ="):
        fit_slide(method, sample.astype(np.uint8))


def test_one_stain_is_too_little_for_macenko_and_enough_for_reinhard() -> None:
    image = mixed(amounts() * [1, 0])
    assert isinstance(fit_slide("reinhard", image), ReinhardColour)
    with pytest.raises(ImageError, match=r"show one stain only .* macenko needs two"):
        fit_slide("macenko", image)


@pytest.mark.parametrize("method", WITH_REFERENCE)
@pytest.mark.parametrize("colour", [(0, 0, 0), (90, 90, 90), (120, 60, 150)])
def test_one_flat_colour_is_refused(method: Method, colour: tuple[int, int, int]) -> None:
    image = np.full((64, 64, 3), 245, dtype=np.uint8)
    image[:40] = colour
    with pytest.raises(ImageError, match="leave the slide out or set stain"):
        fit_slide(method, image)


# The reference


def development(method: Method) -> list[ReinhardColour | MacenkoColour | GreyWorldColour]:
    strengths = ((0.8, 1.1), (1.0, 1.0), (1.2, 0.9))
    return [fit_slide(method, mixed(amounts(seed) * s)) for seed, s in enumerate(strengths)]


@pytest.mark.parametrize("method", WITH_REFERENCE)
def test_one_odd_slide_does_not_move_the_reference_out_of_the_others(method: Method) -> None:
    usual = development(method)
    odd = fit_slide(method, mixed(amounts() * 0.4, OTHER_AZURE, OTHER_EOSIN, (210, 215, 205)))
    reference = fit_reference([*usual, odd])
    assert reference.slides == 4
    for name in ("mean", "std") if method == "reinhard" else ("strength", "azure", "eosin"):
        seen = np.array([getattr(colour, name) for colour in usual])
        middle = np.array(getattr(reference.colour, name))
        assert (middle >= seen.min(axis=0) - 0.01).all()
        assert (middle <= seen.max(axis=0) + 0.01).all()


def test_slides_without_a_common_middle_are_refused() -> None:
    """Two stains each, of which one is the other's azure and eosin changed over."""
    slide = fit_slide("macenko", mixed(amounts()))
    assert isinstance(slide, MacenkoColour)
    changed = slide.model_copy(update={"azure": slide.eosin, "eosin": slide.azure})
    with pytest.raises(SettingsError, match="median is not two stains"):
        fit_reference([slide, changed])


@pytest.mark.parametrize("method", WITH_REFERENCE)
def test_a_reference_comes_back_from_its_file(method: Method, tmp_path: Path) -> None:
    reference = fit_reference(development(method))
    path = tmp_path / "colour_reference.json"
    write_json(path, reference.to_json())
    again = ColourReference.from_json(read_json(path), path)
    assert again == reference
    assert again.digest == reference.digest
    assert reference.digest == fit_reference(development(method)[::-1]).digest
    assert reference.digest != fit_reference(development(method)[:1]).digest


MALFORMED = {
    "not an object": ([], "is no colour reference"),
    "another format": ({"format": "cmil-bag"}, "is no colour reference"),
    "newer": ({"format_version": 2}, "version 2, .* reads up to 1; upgrade"),
    "no version": ({"format_version": None}, "version None"),
    "true for 1": ({"format_version": True}, "version True"),
    "version 0": ({"format_version": 0}, "format_version"),
    "no slides": ({"slides": 0}, "slides: "),
    "unknown key": ({"note": "x"}, "note: "),
    "unknown method": ({"colour": {"method": "vahadane"}}, "colour: "),
    "grey world": ({"colour": {"method": "grey-world"}}, "colour: "),
    "another digest": ({"digest": "0" * 64}, "changed by hand"),
    "no digest": ({"digest": None}, "changed by hand"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_reference_is_refused_in_one_line(case: str) -> None:
    change, message = MALFORMED[case]
    content = fit_reference(development("macenko")).to_json()
    spoilt = {**content, **change} if isinstance(change, dict) else change
    with pytest.raises(FileFormatError, match=message) as caught:
        ColourReference.from_json(spoilt, Path("model/model.json"))
    assert str(caught.value).startswith('"model/model.json"')
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"azure": EOSIN, "eosin": AZURE},
        {"eosin": [0.6, 0.8, 0.0], "azure": [0.6, 0.8, 0.0]},
        {"azure": [3.0, 4.0, 0.0]},
        {"azure": [1.0, 0.0]},
        {"azure": [-0.6, 0.8, 0.0]},
        {"glass": [0, 240, 240]},
        {"glass": ["240", 240, 240]},
        {"strength": [float("nan"), 1.0]},
        {"strength": [0.0, 1.0]},
        {"strength": [True, 1.0]},
    ],
)
def test_impossible_stains_are_refused(change: dict[str, object]) -> None:
    content = fit_reference(development("macenko")).to_json()
    with pytest.raises(FileFormatError, match="fit the reference anew"):
        ColourReference.from_json(
            {**content, "colour": {**content["colour"], **change}}, Path("reference.json")
        )


def test_what_does_not_belong_together_is_refused() -> None:
    reinhard, macenko, grey = (
        fit_slide(method, mixed(amounts())) for method in ("reinhard", "macenko", "grey-world")
    )
    with pytest.raises(SettingsError, match=r'"macenko" was given a reference of "reinhard"'):
        normaliser(macenko, fit_reference([reinhard]))
    with pytest.raises(SettingsError, match=r'"reinhard" was given no reference'):
        normaliser(reinhard, None)
    with pytest.raises(SettingsError, match=r'"grey-world" was given a reference'):
        normaliser(grey, fit_reference([reinhard]))
    for slides in ([], [grey], [reinhard, macenko]):
        with pytest.raises(SettingsError, match=f"on {len(slides)} slides measured for"):
            fit_reference(slides)
