"""Attention files hold what the model said of every instance, slide by slide."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from cmil.attention import attention_path, read_attention, write_attention
from cmil.bundle import ModelBundle
from cmil.patient_bags import PatientBags
from cmil.prediction import PatientPrediction, predict_patient
from cohorts.errors import FileFormatError
from cohorts.manifest import Cohort
from feature_extraction.bags import bag_path, read_bag


@pytest.fixture
def said(trained: tuple[ModelBundle, Path], toy_bags: PatientBags) -> PatientPrediction:
    return predict_patient(trained[0], "P19", toy_bags.bags["P19"])


@pytest.fixture
def folder(toy_bags: PatientBags, said: PatientPrediction, tmp_path: Path) -> Path:
    """Attention of patient P19, of two slides."""
    write_attention(tmp_path, toy_bags.bags["P19"], said, "d" * 64)
    return tmp_path


def test_attention_of_all_slides_of_a_patient_sums_to_one(folder: Path) -> None:
    slides = [read_attention(attention_path(folder, f"P19-{i}")) for i in (0, 1)]
    assert sum(slide.attention.sum() for slide in slides) == pytest.approx(1, abs=1e-6)
    assert [slide.patient_instances for slide in slides] == [11, 11]
    relative = np.concatenate([slide.relative for slide in slides])
    assert relative.mean() == pytest.approx(1, abs=1e-6)
    assert slides[0].attention.max() > slides[1].attention.max()  # the planted instance


def test_rows_are_those_of_the_bags(
    folder: Path, toy: tuple[Cohort, Path], said: PatientPrediction
) -> None:
    first = 0
    for slide in toy[0].slides_of("P19"):
        bag = read_bag(bag_path(toy[1], slide.slide_id))
        looked = read_attention(attention_path(folder, slide.slide_id))
        part = slice(first, first + len(bag))
        first += len(bag)
        assert np.array_equal(looked.coords, bag.coords)
        assert np.array_equal(looked.attention, said.attention[part])
        assert np.array_equal(looked.contribution, said.contributions[part])
    assert first == 11


def test_contributions_sum_to_the_logit_less_the_bias(
    folder: Path, trained: tuple[ModelBundle, Path], said: PatientPrediction
) -> None:
    slides = [read_attention(attention_path(folder, f"P19-{i}")) for i in (0, 1)]
    bias = np.mean([model.classify.bias.item() for model in trained[0].models])
    total = sum(slide.contribution.sum() for slide in slides)
    assert total == pytest.approx(said.logit - bias, abs=1e-5)


def test_without_attention_contributions_take_its_place(
    toy_bags: PatientBags, said: PatientPrediction, tmp_path: Path
) -> None:
    write_attention(tmp_path, toy_bags.bags["P19"], replace(said, attention=None), "d" * 64)
    slide = read_attention(attention_path(tmp_path, "P19-1"))
    assert slide.attention is None
    assert np.array_equal(slide.relative, slide.contribution * 11)


def test_attribution_is_kept_where_there_is_nothing_else(
    toy_bags: PatientBags, said: PatientPrediction, tmp_path: Path
) -> None:
    shares = np.linspace(-1, 1, 11, dtype=np.float32)
    silent = replace(said, attention=None, contributions=None, attribution=shares)
    write_attention(tmp_path, toy_bags.bags["P19"], silent, "d" * 64)
    slides = [read_attention(attention_path(tmp_path, f"P19-{i}")) for i in (0, 1)]
    assert [slide.kind for slide in slides] == ["attribution", "attribution"]
    np.testing.assert_array_equal(np.concatenate([s.relative for s in slides]), shares * 11)


def test_file_says_what_made_it(folder: Path) -> None:
    with h5py.File(attention_path(folder, "P19-0")) as file:
        assert file.attrs["format"] == "cmil-attention"
        assert file.attrs["slide_id"] == "P19-0"
        assert file.attrs["model_digest"] == "d" * 64


@pytest.mark.parametrize("kept", [0, 10, 500])
def test_truncated_file_is_refused(folder: Path, kept: int) -> None:
    path = attention_path(folder, "P19-0")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(
        FileFormatError, match=r"P19-0\.h5.* damaged or not HDF5; .*run cmil predict"
    ):
        read_attention(path)


def test_missing_file_is_refused(folder: Path) -> None:
    with pytest.raises(FileFormatError, match=r'P19-7\.h5" does not exist; run cmil predict'):
        read_attention(attention_path(folder, "P19-7"))


def test_bag_is_not_taken_for_attention(toy: tuple[Cohort, Path]) -> None:
    with pytest.raises(FileFormatError, match=r'P19-0\.h5" has no dataset "attribution"'):
        read_attention(bag_path(toy[1], "P19-0"))


@pytest.mark.parametrize(
    ("names", "missing"), [(["coords"], "coords"), (["attention", "contribution"], "attribution")]
)
def test_file_without_what_it_is_for_is_refused(
    folder: Path, names: list[str], missing: str
) -> None:
    path = attention_path(folder, "P19-0")
    with h5py.File(path, "r+") as file:
        for name in names:
            del file[name]
    with pytest.raises(FileFormatError, match=f'P19-0\\.h5" has no dataset "{missing}"'):
        read_attention(path)


@pytest.mark.parametrize("name", ["coords", "attention", "contribution"])
def test_link_to_another_file_is_refused(folder: Path, name: str) -> None:
    path = attention_path(folder, "P19-0")
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = h5py.ExternalLink(str(attention_path(folder, "P19-1")), name)
    with pytest.raises(FileFormatError, match="is a link to elsewhere; refused"):
        read_attention(path)


def test_arrays_of_unequal_length_are_refused(folder: Path) -> None:
    path = attention_path(folder, "P19-0")
    with h5py.File(path, "r+") as file:
        shorter = file["contribution"][:-1]
        del file["contribution"]
        file["contribution"] = shorter
    with pytest.raises(FileFormatError, match=r'"contribution" \(\d+,\) for \d+ patches'):
        read_attention(path)


def test_newer_version_says_what_to_upgrade(folder: Path) -> None:
    path = attention_path(folder, "P19-0")
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(FileFormatError, match=r"format version 2, .*; upgrade cmil"):
        read_attention(path)
