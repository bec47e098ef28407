import json
from pathlib import Path

import numpy as np
import pytest

from cohorts.errors import FileFormatError
from cohorts.smear_truth import Ellipse, SmearTruth, read_truth, tumour_patches, write_truth


def truth_with(cells: list[tuple[float, float, float]]) -> SmearTruth:
    return SmearTruth(
        width=1000,
        height=500,
        mpp=0.25,
        tumour_cells=np.array(cells, dtype=np.float64).reshape(-1, 3),
        out_of_focus=(Ellipse(200.0, 250.0, 100.0, 50.0, 0.0),),
        over_thick=(Ellipse(500.0, 250.0, 100.0, 50.0, np.pi / 2),),
        edge=np.array([[800.0, 0.0], [900.0, 500.0]]),
    )


def test_a_patch_shows_tumour_when_it_holds_the_centre_of_a_nucleus() -> None:
    truth = truth_with([(100.0, 100.0, 20.0), (255.9, 300.0, 20.0)])
    coords = np.array([[0, 0], [100, 100], [101, 100], [0, 256], [256, 256], [700, 0]])
    assert tumour_patches(truth, coords, 256).tolist() == [True, True, True, True, False, False]
    assert tumour_patches(truth, coords[2:3], 100).tolist() == [False]


def test_patches_of_a_slide_without_tumour_show_none() -> None:
    coords = np.array([[0, 0], [256, 0]])
    assert tumour_patches(truth_with([]), coords, 256).tolist() == [False, False]
    assert tumour_patches(truth_with([(1, 1, 1)]), coords[:0], 256).shape == (0,)


def test_points_are_told_readable_from_areas_and_edge() -> None:
    truth = truth_with([])
    x = np.array([50.0, 280.0, 200.0, 500.0, 580.0, 849.0, 851.0])
    y = np.array([50.0, 250.0, 310.0, 330.0, 250.0, 250.0, 250.0])
    assert truth.readable(x, y).tolist() == [True, False, True, False, True, True, False]
    ellipses = 2 * np.pi * 100 * 50
    expected = (850 * 500 - ellipses) / (1000 * 500)
    assert truth.readable_fraction == pytest.approx(expected, abs=0.005)


def test_truth_survives_writing_and_reading(tmp_path: Path) -> None:
    truth = truth_with([(1.25, 2.0, 20.04)])
    write_truth(tmp_path / "a.json", truth)
    read = read_truth(tmp_path / "a.json")
    assert read.tumour_cells.tolist() == [[1.2, 2.0, 20.0]]
    assert (read.width, read.height, read.mpp) == (1000, 500, 0.25)
    assert (read.out_of_focus, read.over_thick) == (truth.out_of_focus, truth.over_thick)
    assert np.array_equal(read.edge, truth.edge)
    write_truth(tmp_path / "none.json", truth_with([]))
    assert read_truth(tmp_path / "none.json").tumour_cells.shape == (0, 3)


@pytest.mark.parametrize("change", [{"version": 2}, {"width": None}, {"over_thick": [{"x": 1}]}])
def test_other_and_damaged_files_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "a.json"
    write_truth(path, truth_with([]))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FileFormatError, match="simulate the study again"):
        read_truth(path)
