"""The cut-point: fitted on development scores alone, locked, applied unchanged."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohorts.errors import DataError, FileFormatError
from survival import (
    CutPoint,
    apply_cutpoint,
    check_lock,
    fit_cutpoint,
    freeze_cutpoint,
    read_lock,
    refit_cutpoint,
    write_lock,
)


@pytest.fixture
def predictions(study) -> pd.DataFrame:
    return study[0]


def development_of(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[predictions["split"] == "development"]


def shifted(predictions: pd.DataFrame, split: str) -> pd.DataFrame:
    """The same patients; those of one split have other scores."""
    other = predictions["score"] ** 2
    return predictions.assign(score=predictions["score"].mask(predictions["split"] == split, other))


def test_median_mean_and_sd_are_those_of_the_development_scores(predictions: pd.DataFrame) -> None:
    cut = fit_cutpoint(development_of(predictions), "cohort-1")
    scores = sorted(development_of(predictions)["score"])
    assert len(scores) == 91
    assert cut.value == pytest.approx(scores[45], abs=1e-12)
    assert cut.score_mean == pytest.approx(sum(scores) / 91)
    assert cut.score_sd == pytest.approx(pd.Series(scores).std())
    assert (cut.n, cut.method, cut.model_digest) == (91, "median", "model-1")


def test_median_of_an_even_number_is_between_the_two_in_the_middle() -> None:
    cut = fit_cutpoint(scored([0.9, 0.2, 0.4, 0.1]), "cohort-1")
    assert cut.value == pytest.approx(0.3)


def test_score_at_the_cut_is_low_and_stays_so_when_read_from_text() -> None:
    cut = fit_cutpoint(scored([0.1, 0.2 + 0.1, 0.9]), "cohort-1")
    assert apply_cutpoint([0.1, 0.3, 0.2 + 0.1, 0.300001, 0.9], cut).tolist() == [
        *("low", "low", "low", "high", "high")
    ]


@pytest.mark.parametrize("kind", ["train", "external"])
def test_scores_that_are_not_out_of_fold_are_refused(kind: str) -> None:
    with pytest.raises(DataError, match='"score_kind": a score from a training fold'):
        fit_cutpoint(scored([0.1, 0.2, 0.9]).assign(score_kind=kind), "cohort-1")


def test_external_patients_are_refused(predictions: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="development patients only"):
        fit_cutpoint(predictions, "cohort-1")


@pytest.mark.parametrize("scores", [[0.4], [0.4, 0.4, 0.4]])
def test_scores_without_spread_are_refused(scores: list[float]) -> None:
    with pytest.raises(DataError, match="at least two different"):
        fit_cutpoint(scored(scores), "cohort-1")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_no_external_score_ever_moves_the_lock(predictions: pd.DataFrame, tmp_path, data) -> None:
    external = predictions["split"] == "external"
    n = int(external.sum())
    scores = data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))
    path = tmp_path / "cutpoint.json"
    before = freeze_cutpoint(path, predictions, "cohort-1")
    changed = predictions.copy()
    changed.loc[external, "score"] = scores
    assert freeze_cutpoint(path, changed, "cohort-1") == before
    assert refit_cutpoint(path, changed, "cohort-1") == before
    assert apply_cutpoint(scores, before).tolist() == [
        "high" if round(score, 12) > before.value else "low" for score in scores
    ]


def test_lock_is_read_as_it_was_written(predictions: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "cutpoint.json"
    cut = freeze_cutpoint(path, predictions, "cohort-1")
    assert read_lock(path) == cut
    assert json.loads(path.read_text())["format"] == "cmil-cutpoint"


def test_predictions_read_back_from_csv_fit_their_lock(
    predictions: pd.DataFrame, tmp_path: Path
) -> None:
    """pandas reads some floats one bit off; neither lock nor groups may notice."""
    cut = freeze_cutpoint(tmp_path / "cutpoint.json", predictions, "cohort-1")
    predictions.to_csv(tmp_path / "predictions.csv", index=False)
    read = pd.read_csv(tmp_path / "predictions.csv")
    assert (read["score"] != predictions["score"]).any()
    assert freeze_cutpoint(tmp_path / "cutpoint.json", read, "cohort-1") == cut
    assert np.array_equal(
        apply_cutpoint(read["score"], cut), apply_cutpoint(predictions["score"], cut)
    )


def test_new_centre_alone_is_analysed_at_the_old_cut_point(
    predictions: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "cutpoint.json"
    cut = freeze_cutpoint(path, predictions, "cohort-1")
    oslo = predictions[predictions["centre"] == "Oslo"]
    assert freeze_cutpoint(path, oslo, "not needed") == cut


@pytest.mark.parametrize(
    ("change", "cohort", "said"),
    [
        (lambda table: table.assign(model_digest="model-2"), "cohort-1", "another model"),
        (lambda table: table, "cohort-2", "another development cohort"),
        (lambda table: shifted(table, "development"), "cohort-1", "set of development scores"),
    ],
)
def test_lock_fitted_on_something_else_is_refused(
    predictions: pd.DataFrame, tmp_path: Path, change, cohort: str, said: str
) -> None:
    path = tmp_path / "cutpoint.json"
    lock = freeze_cutpoint(path, predictions, "cohort-1")
    before = path.read_bytes()
    with pytest.raises(DataError, match=said) as caught:
        freeze_cutpoint(path, change(predictions), cohort)
    assert str(path) in str(caught.value)
    assert "new output folder" in str(caught.value)
    with pytest.raises(DataError, match=said):
        check_lock(path, lock, change(predictions), cohort)
    assert path.read_bytes() == before


def test_refit_replaces_the_lock_and_says_why(
    predictions: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cutpoint.json"
    old = freeze_cutpoint(path, predictions, "cohort-1")
    changed = shifted(predictions, "development").assign(model_digest="model-2")
    with caplog.at_level(logging.WARNING):
        new = refit_cutpoint(path, changed, "cohort-1")
    assert new.value != old.value
    assert read_lock(path) == new
    (line,) = caplog.messages
    assert line.startswith("cut-point re-fitted on new development scores")
    assert f"{new.value:.4g} instead of {old.value:.4g}" in line
    assert "because the model and the set of development scores changed" in line


def test_refit_without_a_lock_is_the_first_fit(
    predictions: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        cut = refit_cutpoint(tmp_path / "cutpoint.json", predictions, "cohort-1")
    assert cut == fit_cutpoint(development_of(predictions), "cohort-1")
    (line,) = caplog.messages
    assert "the median of 91 out-of-fold development scores, locked" in line


def test_refit_that_fails_leaves_the_lock(predictions: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "cutpoint.json"
    lock = freeze_cutpoint(path, predictions, "cohort-1")
    with pytest.raises(DataError, match="at least two different"):
        refit_cutpoint(path, predictions.assign(score=0.5), "cohort-1")
    assert read_lock(path) == lock


def test_other_content_never_overwrites_a_lock(predictions: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "cutpoint.json"
    cut = freeze_cutpoint(path, predictions, "cohort-1")
    write_lock(path, cut)
    with pytest.raises(DataError, match="not overwritten"):
        write_lock(path, cut.model_copy(update={"values": (0.5,)}))
    assert read_lock(path) == cut


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a cut-point lock"),
        ('{"format": "cmil-bundle"}', "not a cut-point lock"),
        ('{"format": "cmil-cutpoint", "format_version": 3}', "version 3 .* upgrade"),
        ('{"format": "cmil-cutpoint", "format_version": 1, "value": 0.5}', "damaged .* method, n"),
    ],
)
def test_file_that_is_no_lock_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "cutpoint.json"
    path.write_text(content)
    with pytest.raises(FileFormatError, match=said) as caught:
        read_lock(path)
    assert "\n" not in str(caught.value)


def test_a_cut_point_cannot_be_changed(predictions: pd.DataFrame) -> None:
    cut: CutPoint = fit_cutpoint(development_of(predictions), "cohort-1")
    with pytest.raises(ValueError, match="frozen"):
        cut.value = 0.5


def scored(scores: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": [f"P{i}" for i in range(len(scores))],
            "centre": "Lund",
            "split": "development",
            "score_kind": "oof",
            "score": scores,
            "model_digest": "model-1",
        }
    )
