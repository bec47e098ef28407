import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pydicom
import pytest

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


def test_a_damaged_frame_is_named_with_its_place(dicom_slide, tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    content = bytearray(dicom_slide("rle").read_bytes())
    content[len(content) // 10 :] = bytes(len(content) - len(content) // 10)
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r'"a\.dcm"') as refusal, WsiDicomCanvas(path) as canvas:
        canvas.read_region(600, 500, 224, 224)
    assert len(str(refusal.value).splitlines()) == 1
