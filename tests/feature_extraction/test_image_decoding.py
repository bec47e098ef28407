import io
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cohorts.errors import AccessError, ImageError
from feature_extraction.sources.image_decoding import MAX_PIXELS, decode_image


@pytest.fixture
def picture(smear) -> np.ndarray:
    return smear(50, 40, seed=1)


def decode(path: Path) -> np.ndarray:
    return decode_image(path).pixels


def test_lossless_images_are_read_exactly(tmp_path: Path, picture: np.ndarray) -> None:
    for name in ("a.png", "a.bmp", "a.tif"):
        Image.fromarray(picture).save(tmp_path / name)
        pixels = decode(tmp_path / name)
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, picture)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((2, 3, 4), dtype=np.uint8)
    rgba[..., :3] = (200, 100, 50)
    rgba[0, :, 3] = 255
    rgba[1, 1, 3] = 128
    Image.fromarray(rgba).save(tmp_path / "a.png")
    pixels = decode(tmp_path / "a.png")
    assert pixels[0].tolist() == [[200, 100, 50]] * 3
    assert pixels[1, 0].tolist() == [255, 255, 255]
    assert np.abs(pixels[1, 1].astype(int) - (227, 177, 152)).max() <= 1


def test_grey_with_transparency_lies_on_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[9, 255], [9, 0]]], dtype=np.uint8), "LA").save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png").tolist() == [[[9] * 3, [255] * 3]]


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "opaque.png")
    image.save(tmp_path / "clear.png", transparency=1)
    assert decode(tmp_path / "opaque.png").tolist() == [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]
    assert decode(tmp_path / "clear.png").tolist() == [
        [[10, 20, 30], [255, 255, 255], [70, 80, 90]]
    ]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_become_eight(tmp_path: Path, suffix: str) -> None:
    grey = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    path = tmp_path / f"grey.{suffix}"
    Image.fromarray(grey).save(path)
    assert decode(path)[0].tolist() == [[v] * 3 for v in (0, 1, 128, 255)]
    colour = np.stack([grey, grey[:, ::-1], grey], axis=2)
    path = tmp_path / f"colour.{suffix}"
    cv2.imwrite(str(path), colour)
    expected = [[0, 255, 0], [1, 128, 1], [128, 1, 128], [255, 0, 255]]
    assert np.abs(decode(path)[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bits_of_unknown_range_are_refused(tmp_path: Path, kind: type) -> None:
    Image.fromarray(np.full((4, 4), 3000, kind)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r'"a\.tif" has 32-bit pixels'):
        decode(tmp_path / "a.tif")


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, -1), (8, 1)])
def test_a_camera_held_sideways_gives_an_upright_image(
    tmp_path: Path, picture: np.ndarray, orientation: int, turns: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), np.rot90(picture, turns))


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
    for left in (1, len(whole) // 2, len(whole) - 40):
        (tmp_path / "a.jpg").write_bytes(whole[:left])
        with pytest.raises(ImageError, match=r'image "a\.jpg" cannot be decoded') as refusal:
            decode(tmp_path / "a.jpg")
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
            pixels = decode(path)
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

    Image.fromarray(picture).save(tmp_path / "a.bmp")
    name = "feature_extraction.sources.image_decoding.ImageOps.exif_transpose"
    monkeypatch.setattr(name, stumble)
    with pytest.raises(ImageError, match=r'image "a\.bmp" cannot be decoded'):
        decode(tmp_path / "a.bmp")


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
        decode(tmp_path / "large.png")
    (tmp_path / "small.png").write_bytes(png_without_pixels(8000, 8000))
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode(tmp_path / "small.png")


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 40}]
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_is_decoded_as_pillow_does(
    tmp_path: Path, picture: np.ndarray, mode: str, options: dict[str, object]
) -> None:
    """The codec and Pillow round on their own; neither strays by more than one step."""
    Image.fromarray(picture).convert(mode).save(tmp_path / "a.jpg", **options)
    with Image.open(tmp_path / "a.jpg") as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(decode(tmp_path / "a.jpg") - expected).max() <= 1


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_anywhere_is_refused(
    tmp_path: Path, picture: np.ndarray, progressive: bool
) -> None:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", progressive=progressive)
    whole = file.getvalue()
    for left in range(1, len(whole) - 2, 7):
        (tmp_path / "a.jpg").write_bytes(whole[:left])
        with pytest.raises(ImageError, match=r'image "a\.jpg" cannot be decoded'):
            decode(tmp_path / "a.jpg")


def test_cmyk_is_read_in_colour_and_its_profile_is_not_for_rgb(
    tmp_path: Path, picture: np.ndarray
) -> None:
    ink_profile = bytes(16) + b"CMYK" + bytes(108)
    Image.fromarray(picture).convert("CMYK").save(
        tmp_path / "a.jpg", quality=98, subsampling=0, icc_profile=ink_profile
    )
    decoded = decode_image(tmp_path / "a.jpg")
    assert np.abs(decoded.pixels.astype(int) - picture).mean() < 3
    assert decoded.colour_profile is None


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_the_colour_profile_is_handed_on(tmp_path: Path, picture: np.ndarray, name: str) -> None:
    profile = bytes(16) + b"RGB " + bytes(108)
    Image.fromarray(picture).save(tmp_path / name, icc_profile=profile)
    assert decode_image(tmp_path / name).colour_profile == profile
    Image.fromarray(picture).save(tmp_path / name)
    assert decode_image(tmp_path / name).colour_profile is None


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif", "a.bmp"):
        Image.fromarray(np.array([[True, False]])).save(tmp_path / name)
        assert decode(tmp_path / name).tolist() == [[[255] * 3, [0] * 3]]


DEEP = np.random.default_rng(5).integers(0, 65536, (6, 5, 4)).astype(np.uint16)


def on_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:] / 65535
    return (rgba[..., :3] * alpha + 65535 * (1 - alpha)) / 257


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_deep_png_loses_its_low_byte_only(tmp_path: Path, orientation: int) -> None:
    content = imagecodecs.png_encode(DEEP[..., :3].copy())
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = png_chunk(b"eXIf", body)
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])
    turned = np.rot90(DEEP[..., :3], -1) if orientation == 6 else DEEP[..., :3]
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), turned >> 8)


def test_deep_transparency_lies_on_white(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(DEEP))
    assert np.abs(decode(tmp_path / "a.png") - on_white(DEEP)).max() <= 2
    kinds = {"unassalpha": DEEP, "assocalpha": DEEP.copy()}
    kinds["assocalpha"][..., :3] = DEEP[..., :3] * (DEEP[..., 3:] / 65535)
    for kind, samples in kinds.items():
        path = tmp_path / f"{kind}.tif"
        tifffile.imwrite(path, samples, photometric="rgb", extrasamples=[kind])
        assert np.abs(decode(path) - on_white(DEEP)).max() <= 3


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"planarconfig": "separate"},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw", "tile": (16, 16)},
        {"bigtiff": True},
        {"byteorder": ">"},
    ],
)
def test_a_deep_tiff_loses_its_low_byte_only(tmp_path: Path, options: dict[str, object]) -> None:
    colour = DEEP[..., :3].copy()
    separate = options.get("planarconfig") == "separate"
    samples = np.moveaxis(colour, 2, 0).copy() if separate else colour
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", **options)
    np.testing.assert_array_equal(decode(tmp_path / "a.tif"), colour >> 8)


def test_white_may_be_zero(tmp_path: Path) -> None:
    grey = np.array([[0, 0xFFFF, 0x4000]], dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="miniswhite")
    assert decode(tmp_path / "a.tif")[0, :, 0].tolist() == [255, 0, 191]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_camera_s_bits_are_told_by_their_range_and_never_stretched(
    tmp_path: Path, bits: int
) -> None:
    """Stored in 16 without a word; what reaches a quarter of a depth is not of the next lower."""
    for brightest in ((1 << bits) - 1, 1 << (bits - 2) if bits > 8 else 255):
        deep = np.array([[[0, brightest, brightest // 2], [16, 1, 255]]], dtype=np.uint16)
        tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep))
        for name in ("a.tif", "a.png"):
            np.testing.assert_array_equal(decode(tmp_path / name), deep >> (bits - 8))


def test_a_field_that_states_its_brightest_value_is_believed(tmp_path: Path) -> None:
    deep = np.full((8, 8, 3), 900, dtype=np.uint16)
    stated = [(281, "H", 3, (4095,) * 3, True)]
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", extratags=stated)
    assert decode(tmp_path / "a.tif").max() == 900 >> 4


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_deep_png_is_as_bright_with_a_clear_colour_or_a_tail(tmp_path: Path) -> None:
    """Pillow would show the first white all over, and the second sixteen times too dark."""
    deep = DEEP[..., :3] >> 4
    content = imagecodecs.png_encode(deep.copy())
    (tmp_path / "tail.png").write_bytes(content + b"\n")
    np.testing.assert_array_equal(decode(tmp_path / "tail.png"), deep >> 4)
    clear = png_chunk(b"tRNS", struct.pack(">3H", *deep[0, 0].tolist()))
    (tmp_path / "clear.png").write_bytes(content[:33] + clear + content[33:])
    pixels = decode(tmp_path / "clear.png")
    assert pixels[0, 0].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(pixels[1:], deep[1:] >> 4)
    (tmp_path / "cut.png").write_bytes(content[:-1])
    with pytest.raises(ImageError, match=r'image "cut\.png" cannot be decoded'):
        decode(tmp_path / "cut.png")


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_whose_pixels_are_lost_is_refused(tmp_path: Path, smear, orientation: int) -> None:
    """Decoders fill what is lost with grey, and Pillow is content with an end."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    picture = smear(160, 120, seed=3)
    Image.fromarray(picture).save(file, "JPEG", quality=95, exif=exif)
    content = file.getvalue()
    path = tmp_path / "a.jpg"
    path.write_bytes(content + b"tail")
    turned = np.rot90(picture, -1) if orientation == 6 else picture
    assert np.abs(decode(path).astype(int) - turned).mean() < 4
    half = len(content) // 2
    for damaged in (content[:half] + b"\xff\xd9", content[:half] + bytes(400) + content[half:]):
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match=r'image "a\.jpg" cannot be decoded'):
            decode(path)


@pytest.mark.parametrize("compression", ["jpeg2000", "webp", "jpegxl"])
def test_a_tiff_that_pillow_does_not_know_is_decoded(
    tmp_path: Path, picture: np.ndarray, compression: str
) -> None:
    lossless = {"compressionargs": {"lossless": True}} if compression == "webp" else {}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture, photometric="rgb", compression=compression, **lossless)
    np.testing.assert_array_equal(decode(path), picture)


def test_several_images_in_a_file_are_refused_but_not_smaller_copies(
    tmp_path: Path, picture: np.ndarray
) -> None:
    with tifffile.TiffWriter(tmp_path / "stack.tif") as stack:
        stack.write(picture, photometric="rgb")
        stack.write(picture, photometric="rgb")
    still = Image.fromarray(picture)
    still.save(tmp_path / "moving.png", save_all=True, append_images=[still.rotate(90)])
    for name in ("stack.tif", "moving.png"):
        with pytest.raises(ImageError, match=rf'"{name}" holds several images; save each'):
            decode(tmp_path / name)
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as pyramid:
        pyramid.write(picture, photometric="rgb")
        pyramid.write(picture[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(decode(tmp_path / "pyramid.tif"), picture)


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(ImageError, match=r'image "patient/a\.png" is empty'):
        decode_image(tmp_path / "a.png", "patient/a.png")


def test_a_file_that_cannot_be_reached_is_no_damaged_image(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r'image "a\.png" cannot be read'):
        decode(tmp_path / "a.png")


def test_a_large_tiff_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    small = np.zeros((16, 16, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", small, photometric="rgb")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        for tag in ("ImageWidth", "ImageLength"):
            offset = tiff.pages.first.tags[tag].valueoffset
            content[offset : offset + 2] = (60_000).to_bytes(2, "little")
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ImageError, match="60000 x 60000 pixels, more than 80 million"):
        decode(tmp_path / "a.tif")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_deep_tiff_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.tif"
    tifffile.imwrite(path, DEEP[..., :3].copy(), photometric="rgb", compression="zlib")
    content = bytearray(path.read_bytes())
    for position, value in changes:
        content[position % len(content)] = value
    path.write_bytes(content)
    with warnings.catch_warnings(action="ignore"):  # Pillow's own, of what it puts up with
        try:
            pixels = decode(path)
        except ImageError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)
