from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from cohorts.errors import ImageError
from feature_extraction.sources import open_source
from feature_extraction.sources.colour_profile import srgb_transform


def profile_of(space: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


@pytest.fixture(scope="module")
def swapped() -> bytes:
    """The sRGB profile with the primaries of red and green exchanged."""
    profile = profile_of("sRGB")
    for one, other in ((b"rXYZ", b"gXYZ"),):
        first, second = profile.index(one), profile.index(other)
        assert max(first, second) < 400  # in the table of tags
        content = bytearray(profile)
        content[first : first + 4], content[second : second + 4] = other, one
    return bytes(content)


@pytest.fixture(params=["slide.tif", "strips.tif", "image.png"])
def coloured(request: pytest.FixtureRequest, tmp_path: Path):
    """Writes an image with a profile, for each of three readers."""
    colours = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)

    def write(profile: bytes | None) -> tuple[Path, np.ndarray]:
        path = tmp_path / request.param
        if path.suffix == ".png":
            Image.fromarray(colours).save(path, icc_profile=profile)
        else:
            tile = (256, 256) if "slide" in path.name else None
            tifffile.imwrite(path, colours, photometric="rgb", tile=tile, iccprofile=profile)
        return path, colours

    return write


def test_colours_become_srgb(coloured, swapped, slide_at) -> None:
    path, colours = coloured(swapped)
    with open_source(slide_at(path)).open(0) as canvas:
        assert canvas.icc == "applied"
        assert canvas.dimensions == (300, 300)
        seen = canvas.read_region(0, 0, 300, 300).astype(int)
        np.testing.assert_array_equal(canvas.thumbnail(300), seen)
    assert np.abs(seen - colours[..., [1, 0, 2]]).max() <= 2


def test_colours_stay_where_that_is_chosen(coloured, swapped, slide_at) -> None:
    path, colours = coloured(swapped)
    with open_source(slide_at(path), icc=False).open(0) as canvas:
        assert canvas.icc == "ignored"
        assert canvas.colour_profile == swapped
        np.testing.assert_array_equal(canvas.thumbnail(300), colours)


def test_without_a_profile_nothing_is_done(coloured, slide_at) -> None:
    path, colours = coloured(None)
    for icc in (True, False):
        with open_source(slide_at(path), icc=icc).open(0) as canvas:
            assert canvas.icc == "none"
            np.testing.assert_array_equal(canvas.thumbnail(300), colours)


def test_srgb_is_recognised_by_its_effect_and_left_untouched(coloured, slide_at) -> None:
    path, colours = coloured(profile_of("sRGB").replace(b"s\0R\0G\0B", b"f\0o\0o\0o"))
    with open_source(slide_at(path)).open(0) as canvas:
        assert canvas.icc == "applied"
        np.testing.assert_array_equal(canvas.thumbnail(300), colours)


@pytest.mark.parametrize("coloured", ["slide.tif", "strips.tif"], indirect=True)
def test_a_profile_that_does_not_serve_is_refused_with_the_switch(
    coloured, swapped, slide_at
) -> None:
    for profile, said in ((swapped[:200], "is damaged"), (profile_of("LAB"), "is for L")):
        path, colours = coloured(profile)
        with pytest.raises(ImageError, match=f"{said}.*icc = false") as refusal:
            open_source(slide_at(path)).open(0)
        assert path.name in str(refusal.value)
        assert len(str(refusal.value).splitlines()) == 1
        with open_source(slide_at(path), icc=False).open(0) as canvas:
            np.testing.assert_array_equal(canvas.thumbnail(300), colours)


def test_threads_share_a_transform(coloured, swapped, slide_at) -> None:
    path, _ = coloured(swapped)
    with open_source(slide_at(path)).open(0) as canvas, ThreadPoolExecutor(4) as pool:

        def read(x: int) -> bytes:
            return canvas.read_region(x, 20, 100, 100).tobytes()

        assert list(pool.map(read, range(200))) == [read(x) for x in range(200)]


def test_srgb_needs_no_transform(swapped) -> None:
    assert srgb_transform("a", profile_of("sRGB")) is None
    assert srgb_transform("a", swapped) is not None


def test_images_of_one_profile_share_its_transform_and_not_its_fault(swapped) -> None:
    damaged = swapped[:200]
    assert srgb_transform("a", swapped) is srgb_transform("b", bytes(bytearray(swapped)))
    for name in ("one.png", "other.png"):
        with pytest.raises(ImageError, match=f'"{name}" is damaged'):
            srgb_transform(name, damaged)


@pytest.mark.shared
def test_the_profile_of_a_real_slide_is_found(real_slide, slide_at) -> None:
    with open_source(slide_at(real_slide("boxes.tiff"))).open(0) as canvas:
        assert canvas.icc == "applied"
        assert canvas.mpp is None  # it states 72 dots per inch
