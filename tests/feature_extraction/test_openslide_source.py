from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from cohorts.errors import ImageError
from feature_extraction.sources import open_source
from feature_extraction.sources.openslide_source import OpenSlideCanvas, OpenSlideSource


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
    path = pyramid(smear(700, 500), mpp=0.2425)
    source = OpenSlideSource(path)
    assert list(source.names) == [path.name]
    assert list(source.files) == [path]
    with source.open(0) as canvas:
        assert canvas.dimensions == (700, 500)
        assert canvas.mpp == pytest.approx(0.2425)


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


def test_the_pixels_of_a_mirax_slide_lie_in_a_folder_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a.mrxs", "a/Data0001.dat", "a/Data0000.dat", "b.mrxs"):
        (tmp_path / name).touch()
    files = OpenSlideSource(tmp_path / "a.mrxs").files
    assert [f.relative_to(tmp_path).as_posix() for f in files] == [
        "a.mrxs",
        "a/Data0000.dat",
        "a/Data0001.dat",
    ]
    assert list(OpenSlideSource(tmp_path / "b.mrxs").files) == [tmp_path / "b.mrxs"]


def test_the_reader_follows_from_the_kind_of_source(tmp_path: Path, slide_at, smear) -> None:
    tifffile.imwrite(tmp_path / "a.png.tiff", smear(60, 60))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b.png").touch()
    (tmp_path / "list.txt").write_text("folder/b.png\n")
    names = [
        list(open_source(slide_at(tmp_path / name)).names)
        for name in ("a.png.tiff", "folder", "list.txt", "c.png")
    ]
    assert names == [["a.png.tiff"], ["b.png"], ["folder/b.png"], ["c.png"]]
