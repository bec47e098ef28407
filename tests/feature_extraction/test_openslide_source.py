from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from cohorts.errors import ImageError
from feature_extraction.sources.canvas import mpp_of_magnification
from feature_extraction.sources.openslide_source import OpenSlideCanvas


@pytest.fixture
def no_label_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes OpenSlide refuse to say which label and macro images there are, or to give them."""

    def refuse(*_: object) -> None:
        raise AssertionError("an associated image was asked for: it may name a patient")

    for name in (
        "get_associated_image_names",
        "get_associated_image_dimensions",
        "read_associated_image",
    ):
        monkeypatch.setattr(openslide.lowlevel, name, refuse)


def test_a_slide_states_its_size_and_resolution(pyramid, smear) -> None:
    with OpenSlideCanvas(pyramid(smear(700, 500), mpp=0.2425)) as canvas:
        assert canvas.dimensions == (700, 500)
        assert canvas.mpp == pytest.approx(0.2425)
        assert canvas.magnification is None
        assert canvas.reader == "openslide generic-tiff"
        assert canvas.icc == "none"


def test_a_slide_without_resolution_states_none(tmp_path: Path, smear) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, smear(300, 300), tile=(256, 256), photometric="rgb")
    with OpenSlideCanvas(path) as canvas:
        assert canvas.mpp is None


def test_the_thumbnail_is_the_whole_slide(pyramid, smear) -> None:
    image = smear(640, 400, cells=40)
    with OpenSlideCanvas(pyramid(image)) as canvas:
        for longest in (80, 300, 640):
            small = canvas.thumbnail(longest)
            assert small.shape[1] == longest
            assert small.shape[0] == pytest.approx(longest * 400 / 640, abs=1)
            np.testing.assert_allclose(small.mean((0, 1)), image.mean((0, 1)), atol=2)
        assert canvas.thumbnail(5000).shape == (400, 640, 3)


@pytest.mark.parametrize("shrink", [1, 1.3, 2, 4, 5.3, 8, 16])
def test_a_region_lies_where_it_is_said_to_at_every_level(pyramid, shrink: float) -> None:
    """Red rises by 1 every 8 px to the right, green every 8 px downwards."""
    y, x = np.mgrid[0:1024, 0:1600]
    image = np.stack([x / 8, y / 8, np.full_like(x, 120)], axis=2).round().astype(np.uint8)
    side, corner = round(32 * shrink), (640, 256)
    with OpenSlideCanvas(pyramid(image)) as canvas:
        region = canvas.read_region(*corner, side, 32)
    assert region.shape == (32, 32, 3)
    centres = (np.arange(32) + 0.5) * side / 32
    red, green = region[..., 0].mean(axis=0), region[..., 1].mean(axis=1)
    assert np.abs(red - (corner[0] + centres) / 8).max() < 3
    assert np.abs(green - (corner[1] + centres) / 8).max() < 3
    assert red.mean() == pytest.approx((corner[0] + side / 2) / 8, abs=1)
    assert green.mean() == pytest.approx((corner[1] + side / 2) / 8, abs=1)


@pytest.mark.usefixtures("no_label_is_read")
def test_no_label_or_macro_image_is_asked_for(pyramid, smear) -> None:
    path = pyramid(smear(300, 300))
    with OpenSlideCanvas(path) as canvas:
        canvas.thumbnail(64)
        canvas.read_region(0, 0, 64, 32)
    with (
        pytest.raises(AssertionError, match="may name a patient"),
        openslide.OpenSlide(path) as slide,
    ):
        list(slide.associated_images)


@pytest.mark.shared
@pytest.mark.usefixtures("no_label_is_read")
def test_the_label_of_a_real_slide_is_not_asked_for(real_slide: Callable[[str], Path]) -> None:
    with OpenSlideCanvas(real_slide("cmu_small_region.svs")) as canvas:
        assert canvas.dimensions == (2220, 2967)
        assert canvas.mpp == pytest.approx(0.499)
        assert canvas.thumbnail(64).shape[0] == 64
        assert canvas.read_region(500, 500, 64, 32).std() > 1


def test_what_is_no_slide_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_text("not a slide")
    for name in ("a.svs", "none.svs"):
        with pytest.raises(ImageError, match=name) as refusal:
            OpenSlideCanvas(tmp_path / name)
        assert len(str(refusal.value).splitlines()) == 1


def test_a_damaged_tile_is_named_with_its_place(pyramid, smear) -> None:
    path = pyramid(smear(600, 300))
    content = bytearray(path.read_bytes())
    content[8:400] = bytes(392)  # the first tile of level 0
    path.write_bytes(content)
    with (
        OpenSlideCanvas(path) as canvas,
        pytest.raises(ImageError, match=r'"slide\.tif" cannot be read at x 0, y 0') as refusal,
    ):
        canvas.read_region(0, 0, 32, 32)
    assert len(str(refusal.value).splitlines()) == 1
    with OpenSlideCanvas(path) as canvas, pytest.raises(ImageError, match=r'"slide\.tif"'):
        canvas.thumbnail(600)


@pytest.mark.parametrize(("power", "found"), [("40", 40), ("0", None), ("forty", None)])
def test_an_objective_alone_gives_a_magnification_and_no_resolution(
    tmp_path: Path, smear, power: str, found: float | None
) -> None:
    said = f"Aperio Image Library v10.0.51 |AppMag = {power}"
    tifffile.imwrite(
        tmp_path / "a.svs",
        smear(300, 300),
        tile=(256, 256),
        photometric="rgb",
        description=said,
        metadata=None,
    )
    with OpenSlideCanvas(tmp_path / "a.svs") as canvas:
        assert canvas.reader == "openslide aperio"
        assert canvas.mpp is None
        assert canvas.magnification == found
    assert mpp_of_magnification(40) == 0.25


def test_a_thumbnail_of_a_slide_without_levels_is_built_strip_by_strip(
    tmp_path: Path, smear, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", smear(900, 1400), tile=(256, 256), photometric="rgb")
    with OpenSlideCanvas(tmp_path / "a.tif") as canvas:
        at_once = canvas.thumbnail(100).astype(int)
        monkeypatch.setattr("feature_extraction.sources.canvas._STRIP_PIXELS", 50_000)
        in_strips = canvas.thumbnail(100)
    assert in_strips.shape == (100, 64, 3)
    assert np.abs(at_once - in_strips).max() <= 1
