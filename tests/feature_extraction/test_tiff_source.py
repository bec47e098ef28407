import tracemalloc
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from cohorts.errors import ImageError
from feature_extraction.sources import open_source
from feature_extraction.sources.image_decoding import decode_image
from feature_extraction.sources.openslide_source import OpenSlideCanvas
from feature_extraction.sources.tiff_source import TiffCanvas, is_misread_by_openslide


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rng = np.random.default_rng(4)
    coarse = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
    return cv2.resize(coarse, (400, 300), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rowsperstrip": 300},
        {"rowsperstrip": 7, "compression": "lzw"},
        {"rowsperstrip": 50, "compression": "zlib", "predictor": True},
        {"tile": (64, 96), "compression": "lzw", "predictor": True},
        {"tile": (64, 96)},
        {"tile": (64, 96), "planarconfig": "separate"},
        {"planarconfig": "separate", "rowsperstrip": 11, "compression": "zlib"},
        {"tile": (64, 96), "compression": "jpeg2000"},
        {"byteorder": ">", "compression": "zlib"},
    ],
    ids=str,
)
def test_lossless_pixels_are_read_exactly(tmp_path: Path, picture: np.ndarray, options) -> None:
    order = options.pop("byteorder", "<")
    image = picture.transpose(2, 0, 1) if options.get("planarconfig") == "separate" else picture
    with tifffile.TiffWriter(tmp_path / "a.tif", byteorder=order) as tiff:
        tiff.write(image, photometric="rgb", **options)
    with TiffCanvas(tmp_path / "a.tif") as canvas:
        assert canvas.dimensions == (400, 300)
        for x, y, side in ((0, 0, 300), (190, 60, 100), (399, 299, 1), (300, 200, 100)):
            part = picture[y : y + side, x : x + side]
            np.testing.assert_array_equal(canvas.read_region(x, y, side, side), part)
        np.testing.assert_array_equal(canvas.thumbnail(400), picture)


def test_jpeg_strips_and_tiles_are_decoded(tmp_path: Path, picture: np.ndarray) -> None:
    for options in ({"rowsperstrip": 64}, {"tile": (64, 64)}):
        with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
            tiff.write(picture, photometric="ycbcr", compression="jpeg", **options)
        decoded = tifffile.imread(tmp_path / "a.tif").astype(int)
        with TiffCanvas(tmp_path / "a.tif") as canvas:
            assert np.abs(canvas.thumbnail(400) - decoded).max() <= 1


def test_every_kind_of_colour_becomes_rgb(tmp_path: Path) -> None:
    grey = np.array([[0, 1, 128, 255]], dtype=np.uint8)
    deep = grey.astype(np.uint16) * 256 + 77
    rgb = np.stack([grey, grey[:, ::-1], grey], axis=2)
    alpha = np.dstack([rgb, [[255, 0, 255, 0]]]).astype(np.uint8)
    palette = np.zeros((3, 256), dtype=np.uint16)
    palette[:, 1] = (65535, 0, 257 * 7)
    palette[:, 255] = 65535
    on_white = rgb.copy()
    on_white[0, [1, 3]] = 255
    cases = {
        "grey": (grey, {"photometric": "minisblack"}, np.dstack([grey] * 3)),
        "inverse": (grey, {"photometric": "miniswhite"}, np.dstack([255 - grey] * 3)),
        "deep": (deep, {"photometric": "minisblack"}, np.dstack([grey] * 3)),
        "deep rgb": (np.dstack([deep] * 3), {"photometric": "rgb"}, np.dstack([grey] * 3)),
        "packed deep": (deep, {"compression": "zlib"}, np.dstack([grey] * 3)),
        "alpha": (alpha, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, on_white),
        "extra": (alpha, {"photometric": "rgb", "extrasamples": ["unspecified"]}, rgb),
    }
    for name, (image, options, expected) in cases.items():
        tifffile.imwrite(tmp_path / "a.tif", image, **options)
        with TiffCanvas(tmp_path / "a.tif") as canvas:
            np.testing.assert_array_equal(canvas.thumbnail(4), expected, err_msg=name)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="palette", colormap=palette)
    with TiffCanvas(tmp_path / "a.tif") as canvas:
        assert canvas.thumbnail(4)[0].tolist() == [[0] * 3, [255, 0, 7], [0] * 3, [255] * 3]


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((64, 64, 2), {"photometric": "minisblack", "planarconfig": "contig"}, "2 channels"),
        ((64, 64, 5), {"photometric": "minisblack", "planarconfig": "contig"}, "5 channels"),
        ((4, 64, 64), {"photometric": "minisblack"}, "4 images of 64 x 64"),
        ((2, 64, 64), {"photometric": "minisblack", "ome": True}, "2 planes"),
        ((64, 64, 4), {"photometric": "separated"}, "SEPARATED"),
    ],
    ids=str,
)
def test_what_is_no_stained_slide_is_refused(tmp_path: Path, shape, options, said: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), **options)
    with pytest.raises(ImageError, match=said) as refusal:
        TiffCanvas(tmp_path / "a.tif")
    assert '"a.tif"' in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def deep_pyramid(path: Path, bits: int, *, stated: int | None = None, **options) -> np.ndarray:
    """Writes a slide, dark on the left and bright glass on the right, on two levels of 16 bits.

    Gives what level 0 has to look like.
    """
    eight = np.repeat(np.linspace(20, 240, 256).astype(np.uint8)[None], 128, axis=0)
    eight = np.stack([eight, eight // 2, eight], axis=2)
    deep = eight.astype(np.uint16) << (bits - 8)
    tags = [] if stated is None else [(281, "H", 3, (stated,) * 3, True)]
    with tifffile.TiffWriter(path) as tiff:
        named = {"photometric": "rgb", "metadata": None, "extratags": tags}
        tiff.write(deep, **named, **options)
        tiff.write(deep[::2, ::2], subfiletype=1, **named, **options)
    return eight


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize(
    "options", [{"tile": (64, 64)}, {"tile": (64, 64), "compression": "zlib"}, {}], ids=str
)
def test_every_part_of_a_slide_of_a_camera_s_bits_is_as_bright(
    tmp_path: Path, slide_at, bits: int, options
) -> None:
    """The dark side alone would pass for fewer bits; OpenSlide takes them all for 16."""
    path = tmp_path / "a.tif"
    eight = deep_pyramid(path, bits, **options)
    with open_source(slide_at(path)).open(0) as canvas:
        assert canvas.reader == "tifffile"
        for x in (0, 60, 192):
            part = eight[32:96, x : x + 64]
            np.testing.assert_array_equal(canvas.read_region(x, 32, 64, 64), part)
        np.testing.assert_array_equal(canvas.thumbnail(128), eight[::2, ::2])


def test_slides_and_images_are_told_apart_in_depth_by_one_rule(tmp_path: Path) -> None:
    shifts = {255: 0, 256: 2, 1023: 2, 4095: 4, 4096: 6, 16383: 6, 16384: 8, 65535: 8}
    for brightest, shift in shifts.items():
        deep = np.linspace(0, brightest, 64 * 64).astype(np.uint16).reshape(64, 64)
        tifffile.imwrite(tmp_path / "a.tif", deep)
        with TiffCanvas(tmp_path / "a.tif") as canvas:
            seen = canvas.thumbnail(64)
        np.testing.assert_array_equal(seen, decode_image(tmp_path / "a.tif").pixels)
        assert seen.max() == brightest >> shift


def test_a_slide_that_states_its_brightest_value_is_believed(tmp_path: Path) -> None:
    for bits, stated, shift in ((12, 16383, 6), (16, 4095, 4), (12, 65535, 4), (12, 0, 4)):
        eight = deep_pyramid(tmp_path / "a.tif", bits, stated=stated)
        with TiffCanvas(tmp_path / "a.tif") as canvas:
            expected = np.minimum((eight.astype(np.uint16) << (bits - 8)) >> shift, 255)
            np.testing.assert_array_equal(canvas.read_region(99, 0, 128, 128), expected[:, 99:227])


def test_what_is_brighter_than_was_measured_is_white(tmp_path: Path) -> None:
    """A pixel that the coarser level lost may not wrap round to black."""
    deep = np.full((128, 128), 4000, np.uint16)
    deep[3, 3] = 4100
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(deep, metadata=None)
        tiff.write(deep[::2, ::2], subfiletype=1, metadata=None)
    with TiffCanvas(tmp_path / "a.tif") as canvas:
        seen = canvas.read_region(2, 2, 2, 2)[..., 0]
    assert seen.tolist() == [[250, 250], [250, 255]]


def test_a_smaller_image_of_another_depth_is_no_level(tmp_path: Path) -> None:
    for kind, factor in ((np.uint8, 256), (np.uint16, 1)):
        with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
            tiff.write(np.full((128, 128), 100 * 256 // factor, kind), metadata=None)
            other = np.uint16 if kind is np.uint8 else np.uint8
            tiff.write(np.full((64, 64), 7, other), subfiletype=1, metadata=None)
        with TiffCanvas(tmp_path / "a.tif") as canvas:
            assert np.unique(canvas.thumbnail(64)).tolist() == [100]


def test_opacity_has_all_bits_of_its_channel(tmp_path: Path) -> None:
    deep = np.full((64, 64, 4), 2048, np.uint16)
    deep[..., 3] = 65535
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", extrasamples=["unassalpha"])
    with TiffCanvas(tmp_path / "a.tif") as canvas:
        assert np.unique(canvas.thumbnail(64)).tolist() == [128]


@pytest.mark.parametrize("kind", [np.float32, np.uint32, np.bool_])
def test_pixels_of_unknown_range_are_refused(tmp_path: Path, kind: type) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), kind))
    with pytest.raises(ImageError, match="-bit pixels"):
        TiffCanvas(tmp_path / "a.tif")


@pytest.mark.parametrize("how", ["subifds", "pages", "ome"])
def test_levels_are_found_and_labels_left_alone(tmp_path: Path, how: str) -> None:
    """The level in grey steps of one brightness each tells which page was read."""
    path = tmp_path / ("a.ome.tif" if how == "ome" else "a.tif")
    levels = [np.full((512 >> n, 768 >> n, 3), 200 - 50 * n, np.uint8) for n in range(3)]
    label = np.zeros((512, 512, 3), np.uint8)
    with tifffile.TiffWriter(path, ome=how == "ome") as tiff:
        if how == "pages":
            tiff.write(label, photometric="rgb", description="label 512x512", metadata=None)
            for number, level in enumerate(levels):
                kind = int(number > 0)
                tiff.write(level, tile=(64, 64), photometric="rgb", subfiletype=kind, metadata=None)
            tiff.write(label[:100], photometric="rgb", subfiletype=9, metadata=None)
        else:
            named = {"metadata": {"Name": "label"}} if how == "ome" else {"description": "macro"}
            tiff.write(label, photometric="rgb", **named)
            tiff.write(levels[0], tile=(64, 64), photometric="rgb", subifds=2)
            for level in levels[1:]:
                tiff.write(level, tile=(64, 64), photometric="rgb", subfiletype=1)
    assert is_misread_by_openslide(path) == (how == "ome")
    with TiffCanvas(path) as canvas:
        assert canvas.dimensions == (768, 512)
        assert [int(canvas.read_region(0, 0, 64 * n, 64).mean()) for n in (1, 2, 4, 8)] == [
            200,
            150,
            100,
            100,
        ]
        assert canvas.thumbnail(192).mean() == 100


@pytest.mark.parametrize(
    ("stated", "unit", "found"),
    [
        ((40000, 40000), "CENTIMETER", 0.25),
        ((101600, 101600), "INCH", 0.25),
        ((72, 72), "INCH", None),
        ((96, 96), "INCH", None),
        ((300, 300), "INCH", None),
        ((4800, 4800), "INCH", None),
        ((28.35, 28.35), "CENTIMETER", None),
        ((40000, 40000), "NONE", None),
        ((1, 1), "NONE", None),
    ],
)
def test_only_a_microscopes_resolution_is_believed(tmp_path: Path, stated, unit, found) -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    options = {"resolution": stated, "resolutionunit": unit, "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", tile=(256, 256), **options)
    for reader in (TiffCanvas, OpenSlideCanvas):
        with reader(tmp_path / "a.tif") as canvas:
            assert canvas.mpp == (None if found is None else pytest.approx(found))


@pytest.mark.parametrize(
    ("size", "unit", "found"),
    [(0.25, "µm", 0.25), (250, "nm", 0.25), (2.5e-4, "mm", 0.25), (1, "pixel", None)],
)
def test_ome_states_a_resolution_with_its_unit(tmp_path: Path, size, unit, found) -> None:
    metadata = {f"PhysicalSize{axis}": size for axis in "XY"}
    metadata |= {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    image = np.zeros((300, 300, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", image, photometric="rgb", metadata=metadata)
    with TiffCanvas(tmp_path / "a.ome.tif") as canvas:
        assert canvas.mpp == (None if found is None else pytest.approx(found))


def test_imagej_states_a_resolution_in_its_own_way(tmp_path: Path) -> None:
    image = np.zeros((64, 64), np.uint8)
    for unit, found in (("micron", 0.2), ("um", 0.2), ("\\u00B5m", 0.2), ("pixel", None)):
        tifffile.imwrite(
            tmp_path / "a.tif", image, imagej=True, resolution=(5, 5), metadata={"unit": unit}
        )
        with TiffCanvas(tmp_path / "a.tif") as canvas:
            assert canvas.mpp == (None if found is None else pytest.approx(found))


def test_pixels_that_are_not_square_are_refused(tmp_path: Path) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    for stated, bad in (((40000, 39500), False), ((40000, 30000), True)):
        options = {"resolution": stated, "resolutionunit": "CENTIMETER", "metadata": None}
        tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", **options)
        with TiffCanvas(tmp_path / "a.tif") as canvas:
            if bad:
                with pytest.raises(ImageError, match=r"0\.25 microns.* and 0\.333333 down"):
                    canvas.mpp  # noqa: B018
            else:
                assert canvas.mpp == pytest.approx(0.2516, abs=1e-4)


def test_a_huge_image_without_levels_is_read_in_parts(tmp_path: Path) -> None:
    """100,000 x 100,000 pixels in one uncompressed strip: a sparse file of 30 GB."""
    path, side = tmp_path / "huge.tif", 100_000
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        tiff.write(np.zeros((4, 4, 3), np.uint8), photometric="rgb", rowsperstrip=4, metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tags = tiff.pages[0].tags
        start = tiff.pages[0].dataoffsets[0]
        for code in (256, 257, 278):
            tags[code].overwrite(side, dtype="I")
        tags[279].overwrite(side * side * 3, dtype="Q")
    with path.open("r+b") as file:
        file.truncate(start + side * side * 3)
        for row in range(70_000, 70_010):
            file.seek(start + (row * side + 50_000) * 3)
            file.write(bytes([9] * 30))
    tracemalloc.start()
    with TiffCanvas(path) as canvas:
        assert canvas.dimensions == (side, side)
        assert (
            canvas.read_region(50_000, 70_000, 10, 10).tolist() == np.full((10, 10, 3), 9).tolist()
        )
        assert canvas.read_region(50_010, 70_000, 224, 224).max() == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_a_thumbnail_is_built_strip_by_strip(tmp_path: Path, monkeypatch) -> None:
    y, x = np.mgrid[0:3000, 0:2000]
    image = np.stack([x / 8, y / 12, np.full_like(x, 120)], axis=2).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", image, photometric="rgb", tile=(256, 256), compression="zlib"
    )
    with TiffCanvas(tmp_path / "a.tif") as canvas:
        at_once = canvas.thumbnail(300).astype(int)
        monkeypatch.setattr("feature_extraction.sources.canvas._STRIP_PIXELS", 100_000)
        in_strips = canvas.thumbnail(300)
    assert in_strips.shape == (300, 200, 3)
    assert np.abs(at_once - in_strips).max() <= 1


def test_what_can_only_be_decoded_whole_is_bounded(tmp_path: Path) -> None:
    image = np.zeros((9000, 8000), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, compression="zlib", rowsperstrip=9000)
    with pytest.raises(ImageError, match=r'"a\.tif".*72 million pixels.*tiled pyramidal TIFF'):
        TiffCanvas(tmp_path / "a.tif")


def test_a_tile_that_was_left_out_is_glass(tmp_path: Path, picture: np.ndarray) -> None:
    tiles = (picture[y : y + 64, x : x + 64] for y in (0, 64) for x in (0, 64))
    encoded = [imagecodecs.zlib_encode(tile) for tile in tiles]
    encoded[1] = b""
    options = {"shape": (128, 128, 3), "dtype": np.uint8, "tile": (64, 64), "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "a.tif", iter(encoded), compression="zlib", **options)
    with TiffCanvas(tmp_path / "a.tif") as canvas:
        read = canvas.thumbnail(128)
    expected = picture[:128, :128].copy()
    expected[:64, 64:] = 255
    np.testing.assert_array_equal(read, expected)


def test_a_damaged_piece_is_named_with_its_place(tmp_path: Path, picture: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        offset = tiff.pages[0].dataoffsets[9]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[offset + 5 : offset + 60] = bytes(55)
    (tmp_path / "a.tif").write_bytes(content)
    with TiffCanvas(tmp_path / "a.tif") as canvas:
        canvas.read_region(0, 0, 60, 60)
        with pytest.raises(ImageError, match=r'"a\.tif" cannot be read at x 130, y 70') as refusal:
            canvas.read_region(130, 70, 50, 50)
    assert len(str(refusal.value).splitlines()) == 1


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["zlib", "jpeg", None]),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, picture, compression, changes) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.tif"
    tifffile.imwrite(
        path, picture[:80, :96], photometric="rgb", tile=(32, 32), compression=compression
    )
    content = bytearray(path.read_bytes())
    for position, value in changes:
        content[position] = value
    path.write_bytes(content)
    try:
        with TiffCanvas(path) as canvas:
            pixels = canvas.thumbnail(64)
    except ImageError as error:
        assert '"damaged.tif"' in str(error)
        assert len(str(error).splitlines()) == 1
    else:
        assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_file_cut_short_anywhere_is_read_or_refused(
    tmp_path: Path, slide_at, picture: np.ndarray, bigtiff: bool, byteorder: str
) -> None:
    """The directory of tags comes first in the file, so each of its parts is cut through."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as tiff:
        tiff.write(picture[:64, :64], photometric="rgb", tile=(64, 64), compression="zlib")
    content = path.read_bytes()
    refused = 0
    for length in range(min(200, len(content) - 1) + 1):
        path.write_bytes(content[:length])
        is_misread_by_openslide(path)
        try:
            with open_source(slide_at(path)).open(0) as canvas:
                canvas.thumbnail(64)
        except ImageError as error:
            assert '"a.tif"' in str(error)
            assert len(str(error).splitlines()) == 1
            refused += 1
    assert refused == length + 1


def test_what_is_no_tiff_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("not a slide")
    for name in ("a.tif", "none.tif"):
        with pytest.raises(ImageError, match=name):
            TiffCanvas(tmp_path / name)
    assert not is_misread_by_openslide(tmp_path / "a.tif")
    assert openslide.OpenSlide.detect_format(tmp_path / "a.tif") is None
