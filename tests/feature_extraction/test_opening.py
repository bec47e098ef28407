from pathlib import Path

import numpy as np
import pytest
import tifffile

from cohorts.errors import ImageError
from feature_extraction.sources import open_source
from feature_extraction.sources.slide_files import files_of_slide


def test_the_reader_follows_from_the_kind_of_source(tmp_path: Path, slide_at, smear) -> None:
    tifffile.imwrite(tmp_path / "a.png.tiff", smear(60, 60))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b.png").touch()
    (tmp_path / "list.txt").write_text("folder/b.png\n")
    names = [
        list(open_source(slide_at(tmp_path / name), icc=icc).names)
        for name in ("a.png.tiff", "folder", "list.txt", "c.png")
        for icc in (True, False)
    ]
    assert names[::2] == [["a.png.tiff"], ["b.png"], ["folder/b.png"], ["c.png"]]
    assert names[1::2] == names[::2]


def test_what_openslide_refuses_is_read_by_tifffile(tmp_path: Path, slide_at, smear) -> None:
    image = smear(300, 200)
    tifffile.imwrite(tmp_path / "strips.tif", image, photometric="rgb", compression="zlib")
    tifffile.imwrite(tmp_path / "tiles.tif", image, photometric="rgb", tile=(64, 64))
    tifffile.imwrite(tmp_path / "a.ome.tif", image, photometric="rgb", tile=(64, 64))
    readers = {"strips.tif": "tifffile", "tiles.tif": "openslide generic-tiff"}
    for name, reader in {**readers, "a.ome.tif": "tifffile"}.items():
        with open_source(slide_at(tmp_path / name)).open(0) as canvas:
            assert canvas.reader == reader
            assert canvas.icc == "none"
            np.testing.assert_array_equal(canvas.thumbnail(300), image)


def test_one_channel_of_many_is_not_taken_for_a_slide(tmp_path: Path, slide_at) -> None:
    """OpenSlide would show the first channel."""
    channels = np.zeros((5, 300, 300), np.uint8)
    options = {"tile": (64, 64), "photometric": "minisblack", "metadata": {"axes": "CYX"}}
    tifffile.imwrite(tmp_path / "a.ome.tif", channels, **options)
    with pytest.raises(ImageError, match=r"5 planes .*fluorescence"):
        open_source(slide_at(tmp_path / "a.ome.tif")).open(0)


def test_a_file_all_readers_refuse_has_the_reasons_of_all(tmp_path: Path, slide_at) -> None:
    (tmp_path / "a.svs").write_text("not a slide")
    with pytest.raises(ImageError, match=r'"a\.svs".*OpenSlide: .*; tifffile: ') as refusal:
        open_source(slide_at(tmp_path / "a.svs")).open(0)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.shared
@pytest.mark.parametrize("name", ["broken.svs", "unopenable.tiff"])
def test_real_files_that_are_broken_are_refused_in_one_line(real_slide, slide_at, name) -> None:
    with pytest.raises(ImageError, match=f'"{name}"') as refusal:
        open_source(slide_at(real_slide(name))).open(0)
    assert len(str(refusal.value).splitlines()) == 1


def test_the_pixels_of_a_mirax_slide_lie_in_a_folder_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a.mrxs", "a/Data0001.dat", "a/Data0000.dat", "b.mrxs"):
        (tmp_path / name).touch()
    files = files_of_slide(tmp_path / "a.mrxs")
    assert [f.relative_to(tmp_path).as_posix() for f in files] == [
        "a.mrxs",
        "a/Data0000.dat",
        "a/Data0001.dat",
    ]
    assert list(files_of_slide(tmp_path / "b.mrxs")) == [tmp_path / "b.mrxs"]


def test_a_vms_slide_is_the_files_it_lists_but_not_its_macro(tmp_path: Path) -> None:
    for name in ("a(0,0).jpg", "a(0,1).jpg", "a_map.jpg", "a_macro.jpg", "a.opt", "b.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "a.vms").write_text(
        "[Virtual Microscope Specimen]\nImageFile=a(0,0).jpg\nImageFile(0,1)=a(0,1).jpg\n"
        "MapFile=a_map.jpg\nMacroImage=a_macro.jpg\nOptimisationFile=a.opt\nImageFile(1,1)=gone.jpg\n"
    )
    names = [file.name for file in files_of_slide(tmp_path / "a.vms")]
    assert names == ["a.vms", "a(0,0).jpg", "a(0,1).jpg", "a.opt", "a_map.jpg"]
    (tmp_path / "a.vms").write_text("no listing")
    assert list(files_of_slide(tmp_path / "a.vms")) == [tmp_path / "a.vms"]
