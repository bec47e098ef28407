import io
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cohorts.errors import ImageError
from feature_extraction.sources.image_source import MAX_PIXELS, ImageSource, decode_image


@pytest.fixture
def picture(smear) -> np.ndarray:
    return smear(50, 40, seed=1)


def test_lossless_images_are_read_exactly(tmp_path: Path, picture: np.ndarray) -> None:
    for name in ("a.png", "a.bmp", "a.tif"):
        Image.fromarray(picture).save(tmp_path / name)
        pixels = decode_image(tmp_path / name)
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, picture)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((2, 3, 4), dtype=np.uint8)
    rgba[..., :3] = (200, 100, 50)
    rgba[0, :, 3] = 255
    rgba[1, 1, 3] = 128
    Image.fromarray(rgba).save(tmp_path / "a.png")
    pixels = decode_image(tmp_path / "a.png")
    assert pixels[0].tolist() == [[200, 100, 50]] * 3
    assert pixels[1, 0].tolist() == [255, 255, 255]
    assert np.abs(pixels[1, 1].astype(int) - (227, 177, 152)).max() <= 1


def test_grey_with_transparency_lies_on_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[9, 255], [9, 0]]], dtype=np.uint8), "LA").save(tmp_path / "a.png")
    assert decode_image(tmp_path / "a.png").tolist() == [[[9] * 3, [255] * 3]]


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "opaque.png")
    image.save(tmp_path / "clear.png", transparency=1)
    assert decode_image(tmp_path / "opaque.png").tolist() == [
        [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    ]
    assert decode_image(tmp_path / "clear.png").tolist() == [
        [[10, 20, 30], [255, 255, 255], [70, 80, 90]]
    ]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_become_eight(tmp_path: Path, suffix: str) -> None:
    grey = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    path = tmp_path / f"grey.{suffix}"
    Image.fromarray(grey).save(path)
    assert decode_image(path)[0].tolist() == [[v] * 3 for v in (0, 1, 128, 255)]
    colour = np.stack([grey, grey[:, ::-1], grey], axis=2)
    path = tmp_path / f"colour.{suffix}"
    cv2.imwrite(str(path), colour)
    expected = [[0, 255, 0], [1, 128, 1], [128, 1, 128], [255, 0, 255]]
    assert np.abs(decode_image(path)[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bits_of_unknown_range_are_refused(tmp_path: Path, kind: type) -> None:
    Image.fromarray(np.full((4, 4), 3000, kind)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r'"a\.tif" has 32-bit pixels'):
        decode_image(tmp_path / "a.tif")


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, -1), (8, 1)])
def test_a_camera_held_sideways_gives_an_upright_image(
    tmp_path: Path, picture: np.ndarray, orientation: int, turns: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png"), np.rot90(picture, turns))


def encoded(picture: np.ndarray, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **({} if kind == "BMP" else {"exif": exif}))
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_a_truncated_image_is_one_line_with_its_name(
    tmp_path: Path, picture: np.ndarray, kind: str
) -> None:
    whole = encoded(picture, kind)
    for left in (0, 1, len(whole) // 2, len(whole) - 40):
        (tmp_path / "a.jpg").write_bytes(whole[:left])
        with pytest.raises(ImageError, match=r'image "a\.jpg" cannot be decoded') as refusal:
            decode_image(tmp_path / "a.jpg")
        assert len(str(refusal.value).splitlines()) == 1


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["JPEG", "PNG", "BMP"]),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_damaged_image_is_read_or_refused(
    smear, tmp_path_factory: pytest.TempPathFactory, kind: str, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(encoded(smear(24, 16), kind))
    for position, value in changes:
        content[position] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    with warnings.catch_warnings(action="ignore"):  # Pillow's own, of what it puts up with
        try:
            pixels = decode_image(path)
        except ImageError as error:
            assert '"damaged"' in str(error)
            assert len(str(error).splitlines()) == 1
        else:
            assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)


@pytest.mark.parametrize("damage", [struct.error, TypeError])
def test_a_header_pillow_stumbles_over_is_refused(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch, damage: type[Exception]
) -> None:
    """Pillow 13 raises both on damaged EXIF; which bytes do it differs from release to release."""

    def stumble(*_: object) -> None:
        raise damage("required argument is not an integer")

    Image.fromarray(picture).save(tmp_path / "a.png")
    monkeypatch.setattr("feature_extraction.sources.image_source.ImageOps.exif_transpose", stumble)
    with pytest.raises(ImageError, match=r'image "a\.png" cannot be decoded'):
        decode_image(tmp_path / "a.png")


def png_without_pixels(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    assert 9000 * 9000 > MAX_PIXELS > 8000 * 8000
    (tmp_path / "large.png").write_bytes(png_without_pixels(9000, 9000))
    with pytest.raises(ImageError, match=r"9000 x 9000 pixels, more than 80 million.* pyramidal"):
        decode_image(tmp_path / "large.png")
    (tmp_path / "small.png").write_bytes(png_without_pixels(8000, 8000))
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode_image(tmp_path / "small.png")


def test_a_folder_gives_its_images_in_order_and_nothing_else(
    tmp_path: Path, picture: np.ndarray
) -> None:
    for name in ("b.JPG", "a.tif", "sub/c.png", ".hidden.png", ".cache/d.png", "sub/.e/f.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder.png").mkdir()
    source = ImageSource.from_folder(tmp_path)
    assert list(source.names) == ["a.tif", "b.JPG", "sub/c.png"]
    assert [file.relative_to(tmp_path).as_posix() for file in source.files] == list(source.names)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match=f'folder "{tmp_path.name}" holds no image'):
        ImageSource.from_folder(tmp_path)


def test_a_list_gives_its_images_in_its_order(tmp_path: Path, picture: np.ndarray) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/é.png"):
        Image.fromarray(picture).save(tmp_path / name)
    listing = tmp_path / "list.txt"
    listing.write_bytes("\ufeffsub/é.png\r\n\r\n  a.png \r\n".encode())
    source = ImageSource.from_list(listing)
    assert list(source.names) == ["sub/é.png", "a.png"]
    with source.open(1) as canvas:
        assert canvas.dimensions == (50, 40)
        assert canvas.mpp is None
        np.testing.assert_array_equal(canvas.thumbnail(1000), picture)
        assert canvas.thumbnail(25).shape == (20, 25, 3)
        np.testing.assert_array_equal(canvas.read_region(9, 8, 20, 20), picture[8:28, 9:29])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "names no image"),
        (b"\n \n", "names no image"),
        (b"a.png\nnone.png\ngone.png\n", '"none.png" and 1 more does not exist'),
        (b"a.png\nnone.png\n", '"none.png" does not exist'),
        (b".\n", '"." does not exist'),
        (b"Z\xfcrich.png\n", "is not UTF-8"),
    ],
)
def test_a_list_that_does_not_serve_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ImageError, match=r"list\.txt") as refusal:
        ImageSource.from_list(tmp_path / "list.txt")
    assert said in str(refusal.value)


def test_a_list_that_is_gone_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r'"list\.txt" cannot be read'):
        ImageSource.from_list(tmp_path / "list.txt")
