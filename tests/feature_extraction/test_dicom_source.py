import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pydicom
import pytest
from pydicom.dataelem import RawDataElement

from cohorts.errors import ImageError
from cohorts.pyramid_tiff import write_pyramid
from feature_extraction.sources import dicom_source, open_source
from feature_extraction.sources.dicom_source import WsiDicomCanvas, series_of


@pytest.fixture(scope="module")
def dicom_slide(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes a DICOM slide, red rising to the right and green downwards, as "jpeg" or "rle"."""
    assert dicom_source  # loads wsidicom first, without the warning of what it loads
    from wsidicom.codec import RleSettings
    from wsidicomizer import WsiDicomizer

    folder = tmp_path_factory.mktemp("dicom")
    y, x = np.mgrid[0:768, 0:1024]
    image = np.stack([x / 5, y / 5, np.full_like(x, 120)], axis=2).astype(np.uint8)
    write_pyramid(folder / "a.tif", image, mpp=0.25, quality=98)

    def write(coding: str) -> Path:
        written = folder / coding
        if not written.exists():
            written.mkdir()
            with WsiDicomizer.open(folder / "a.tif") as slide:
                slide.save(written, transcoding=RleSettings() if coding == "rle" else None)
        files = sorted(written.glob("*.dcm"), key=lambda file: -file.stat().st_size)
        return files[0]

    return write


def test_what_openslide_refuses_is_read_by_wsidicom(dicom_slide, slide_at) -> None:
    path = dicom_slide("rle")
    with pytest.raises(openslide.OpenSlideError, match="Unsupported transfer syntax"):
        openslide.OpenSlide(path)
    with open_source(slide_at(path)).open(0) as canvas:
        assert canvas.reader == "wsidicom"
        assert canvas.dimensions == (1024, 768)
        assert canvas.mpp == pytest.approx(0.25)
        assert canvas.thumbnail(256).shape == (192, 256, 3)
        for side, out in ((100, 100), (400, 100), (200, 150)):
            region = canvas.read_region(300, 200, side, out)
            assert region.shape == (out, out, 3)
            assert region[..., 0].mean() == pytest.approx((300 + side / 2) / 5, abs=1)
            assert region[..., 1].mean() == pytest.approx((200 + side / 2) / 5, abs=1)
        assert canvas.read_region(800, 500, 224, 56).shape == (56, 56, 3)


def test_both_readers_agree_on_a_slide_both_take(dicom_slide, slide_at) -> None:
    path = dicom_slide("jpeg")
    with open_source(slide_at(path)).open(0) as ours, WsiDicomCanvas(path) as other:
        assert ours.reader == "openslide dicom"
        assert other.mpp == pytest.approx(ours.mpp)
        one, two = (c.read_region(200, 100, 256, 256).astype(int) for c in (ours, other))
        assert np.abs(one - two).max() <= 2


def test_a_slide_without_image_type_is_refused_for_that(dicom_slide, slide_at, tmp_path) -> None:
    """As in the real file `small_dicom.dcm`."""
    data = pydicom.dcmread(dicom_slide("rle"))
    del data.ImageType
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(ImageError, match=r'"a\.dcm" .*states no ImageType') as refusal:
        open_source(slide_at(tmp_path / "a.dcm")).open(0)
    assert "OpenSlide: " in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.shared
def test_a_real_slide_without_image_type_is_refused_for_that(real_slide, slide_at) -> None:
    with pytest.raises(ImageError, match=r'"small_dicom\.dcm" .*states no ImageType'):
        open_source(slide_at(real_slide("small_dicom.dcm"))).open(0)


def test_a_label_alone_is_not_a_slide(dicom_slide, tmp_path: Path) -> None:
    data = pydicom.dcmread(dicom_slide("rle"))
    data.ImageType = ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(ImageError, match="no image of type VOLUME"):
        WsiDicomCanvas(tmp_path / "a.dcm")


def test_the_files_of_a_slide_are_those_of_its_series(dicom_slide, tmp_path: Path) -> None:
    for coding in ("jpeg", "rle"):
        for file in dicom_slide(coding).parent.iterdir():
            shutil.copy(file, tmp_path / f"{coding} {file.name}")
    (tmp_path / "other.dcm").write_bytes(b"not DICOM")
    files = series_of(next(tmp_path.glob("jpeg*")))
    assert sorted(files) == sorted(tmp_path.glob("jpeg*.dcm"))
    assert len(files) == 3
    assert list(series_of(tmp_path / "other.dcm")) == [tmp_path / "other.dcm"]


@pytest.mark.parametrize(
    ("stated", "power"),
    [
        (b"20", 20.0),
        (b"40.0 ", 40.0),
        (b"20\\40 ", None),
        (b"abc ", None),
        (b"", None),
        (b"-4", None),
        (b"inf ", None),
    ],
)
def test_an_objective_that_is_none_is_no_hint(
    dicom_slide, tmp_path: Path, stated: bytes, power: float | None
) -> None:
    data = pydicom.dcmread(dicom_slide("rle"))
    light = data.OpticalPathSequence[0]
    tag = pydicom.tag.Tag("ObjectiveLensPower")
    light[tag] = RawDataElement(tag, "DS", len(stated), stated, 0, False, True)
    data.save_as(tmp_path / "a.dcm")
    assert stated in (tmp_path / "a.dcm").read_bytes()
    with WsiDicomCanvas(tmp_path / "a.dcm") as canvas:
        assert canvas.magnification == power
        assert canvas.thumbnail(64).shape == (48, 64, 3)


def test_a_slide_without_light_path_is_refused(dicom_slide, tmp_path: Path) -> None:
    data = pydicom.dcmread(dicom_slide("rle"))
    data.OpticalPathSequence = []
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(ImageError, match=r'"a\.dcm"'):
        WsiDicomCanvas(tmp_path / "a.dcm")


def test_the_header_of_a_file_is_read_again_only_when_it_changed(
    dicom_slide, tmp_path: Path, slide_at, monkeypatch
) -> None:
    for file in dicom_slide("jpeg").parent.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "other.dcm").write_bytes(b"not DICOM")
    paths = sorted(tmp_path.glob("*.dcm"))
    read: list[Path] = []

    def counted(path: Path, **options: object) -> pydicom.Dataset:
        read.append(path)
        return dcmread(path, **options)

    dcmread = pydicom.dcmread
    monkeypatch.setattr(pydicom, "dcmread", counted)
    sources = [open_source(slide_at(path)) for path in paths]
    first = [list(source.files) for source in sources]
    assert sorted(read) == paths
    assert [list(source.files) for source in sources] == first
    assert sorted(len(files) for files in first) == [1, *[len(paths) - 1] * (len(paths) - 1)]

    copied = tmp_path / "other.dcm"
    shutil.copy(next(path for path in paths if path != copied), copied)
    assert [len(source.files) for source in sources] == [len(files) for files in first]
    again = series_of(copied)
    assert len(again) == len(paths)
    assert read[len(paths) :] == [copied]


def test_a_header_that_could_not_be_read_is_tried_again(
    dicom_slide, tmp_path: Path, monkeypatch
) -> None:
    """As when a network share fails for a moment."""
    for file in dicom_slide("jpeg").parent.iterdir():
        shutil.copy(file, tmp_path)
    first, *others = sorted(tmp_path.glob("*.dcm"))

    def unreachable(path: Path, **options: object) -> pydicom.Dataset:
        if path in others:
            raise OSError("the network share is gone")
        return dcmread(path, **options)

    dcmread = pydicom.dcmread
    with monkeypatch.context() as patch:
        patch.setattr(pydicom, "dcmread", unreachable)
        assert list(series_of(first)) == [first]
    assert list(series_of(first)) == [first, *others]


def test_a_damaged_frame_is_named_with_its_place(dicom_slide, tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    content = bytearray(dicom_slide("rle").read_bytes())
    content[len(content) // 10 :] = bytes(len(content) - len(content) // 10)
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r'"a\.dcm"') as refusal, WsiDicomCanvas(path) as canvas:
        canvas.read_region(600, 500, 224, 224)
    assert len(str(refusal.value).splitlines()) == 1
