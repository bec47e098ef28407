from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from cohorts.pyramid_tiff import write_pyramid


def test_openslide_reads_back_what_was_written(tmp_path: Path) -> None:
    y, x = np.mgrid[0:301, 0:613]
    image = np.stack([x * 255 // 613, y * 255 // 301, np.full_like(x, 90)], axis=2).astype(np.uint8)
    write_pyramid(tmp_path / "a.tif", image, mpp=0.2425, quality=95)
    with openslide.OpenSlide(tmp_path / "a.tif") as slide:
        assert slide.level_dimensions == ((613, 301), (153, 75), (38, 18))
        assert slide.level_downsamples == pytest.approx((1, 4, 16), rel=0.05)
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.2425)
        read = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    assert np.abs(read.astype(int) - image).max() < 12


def test_reduced_levels_are_marked_and_the_file_keeps_to_tiff(tmp_path: Path) -> None:
    image = np.full((600, 700, 3), 200, dtype=np.uint8)
    write_pyramid(tmp_path / "a.tif", image, mpp=0.5, quality=80)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert [page.subfiletype for page in file.pages] == [0, 1, 1]
        first = file.pages[0]
        assert (first.tilewidth, first.tilelength) == (256, 256)
        assert (first.compression, first.photometric) == (7, 6)
        assert len(first.dataoffsets) == 9
        assert file.pages[1].get_resolution("MICROMETER") == pytest.approx((0.5, 0.5))
