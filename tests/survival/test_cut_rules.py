"""Rules of the cut-point, and the lock that holds what they gave."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from cohorts.errors import DataError
from survival.cut_rules import CutPointRule
from survival.cutpoint import apply_cutpoint, fit_cutpoint, groups_of, read_lock, write_lock
from survival.cutpoint_freeze import freeze_cutpoint, refit_cutpoint
from survival.maximally_selected import maximally_selected
from survival.support import Support
from survival.youden import youden_cut

TERTILES = CutPointRule(method="tertiles")
YOUDEN = CutPointRule(method="youden", endpoint="overall survival", horizon=24)
SEARCHED = CutPointRule(method="maximally_selected", endpoint="overall survival")


@pytest.fixture
def predictions(study) -> pd.DataFrame:
    return study[0]


@pytest.fixture
def development(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[predictions["split"] == "development"]


@pytest.fixture
def outcomes(study) -> pd.DataFrame:
    """In another order than the predictions."""
    return study[1].rename(columns={"os_months": "time", "os_event": "event"})[::-1]


def test_tertiles_make_three_groups_of_equal_size(development: pd.DataFrame) -> None:
    cut = fit_cutpoint(development, "cohort-1", TERTILES)
    groups = apply_cutpoint(development["score"], cut)
    assert groups_of(cut) == ("low", "intermediate", "high")
    assert [int(np.sum(groups == name)) for name in groups_of(cut)] == [31, 30, 30]
    assert cut.value == cut.values[1]
    at_the_cuts = apply_cutpoint(list(cut.values), cut).tolist()
    assert at_the_cuts == ["low", "intermediate"]


def test_given_values_are_kept(development: pd.DataFrame) -> None:
    rule = CutPointRule(method="given", values=(0.25, 0.5))
    assert fit_cutpoint(development, "cohort-1", rule).values == (0.25, 0.5)


def test_rules_that_read_outcomes_match_them_by_patient(development, outcomes, study) -> None:
    own = study[1].loc[development["patient_id"]]
    found = maximally_selected(development["score"], own["os_months"], own["os_event"])
    cut = fit_cutpoint(development, "cohort-1", SEARCHED, outcomes)
    assert cut.value == pytest.approx(found.cut, abs=1e-12)
    assert cut.p_corrected == found.p_lausen92
    again = fit_cutpoint(development, "cohort-1", SEARCHED, outcomes, seed=1)
    assert cut.p_permutation == pytest.approx(again.p_permutation, abs=0.02) and again != cut
    assert cut == fit_cutpoint(development, "cohort-1", SEARCHED, outcomes)
    best = youden_cut(development["score"], own["os_months"], own["os_event"], 24)
    cut = fit_cutpoint(development, "cohort-1", YOUDEN, outcomes)
    assert (cut.value, cut.horizon) == (pytest.approx(best.cut, abs=1e-12), 24)
    assert cut.outcomes_digest


def test_external_outcomes_never_reach_the_cut(predictions, development, outcomes) -> None:
    external = outcomes.index.difference(development["patient_id"])
    other = outcomes.copy()
    other.loc[external, "event"] = 1 - other.loc[external, "event"]
    one, two = (fit_cutpoint(development, "cohort-1", SEARCHED, o) for o in (outcomes, other))
    assert one == two


def test_outcomes_that_are_needed_and_missing_are_refused(development, outcomes) -> None:
    with pytest.raises(DataError, match='"youden" reads the development outcomes'):
        fit_cutpoint(development, "cohort-1", YOUDEN)
    lost = outcomes.drop(index=development["patient_id"].iloc[0])
    with pytest.raises(DataError, match='missing of 1 development patients, "L000" first'):
        fit_cutpoint(development, "cohort-1", YOUDEN, lost)
    with pytest.raises(DataError, match="horizon 500: not estimable: 0 at risk"):
        fit_cutpoint(development, "cohort-1", YOUDEN.model_copy(update={"horizon": 500}), outcomes)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"method": "youden", "endpoint": "os"}, "horizon is needed"),
        ({"method": "maximally_selected"}, "endpoint is needed"),
        ({"method": "median", "horizon": 5}, "horizon means nothing"),
        ({"method": "given"}, "values is needed"),
        ({"method": "given", "values": (0.5, 0.2)}, "ascending"),
        ({"method": "given", "values": (1.5,)}, "from 0 to 1"),
        ({"method": "youden", "endpoint": "os", "horizon": -1}, "not above 0"),
    ],
)
def test_incomplete_rules_are_refused(rule: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        CutPointRule.model_validate(rule)


def test_every_lock_survives_the_file(development, outcomes, tmp_path: Path) -> None:
    for rule in (TERTILES, YOUDEN, SEARCHED):
        cut = fit_cutpoint(development, "cohort-1", rule, outcomes)
        write_lock(tmp_path / f"{rule.method}.json", cut)
        assert read_lock(tmp_path / f"{rule.method}.json") == cut


def test_a_lock_of_version_1_is_read_and_kept(predictions, development, tmp_path: Path) -> None:
    path = tmp_path / "cutpoint.json"
    cut = fit_cutpoint(development, "cohort-1")
    names = ("value", "method", "n", "score_mean", "score_sd")
    digests = ("model_digest", "cohort_digest", "scores_digest")
    old = {name: getattr(cut, name) for name in (*names, *digests)}
    path.write_text(json.dumps({"format": "cmil-cutpoint", "format_version": 1, **old}))
    before = path.read_bytes()
    assert read_lock(path) == cut
    assert freeze_cutpoint(path, predictions, "cohort-1") == cut
    assert path.read_bytes() == before


def test_another_rule_does_not_move_the_lock_unasked(predictions, outcomes, tmp_path: Path) -> None:
    path = tmp_path / "cutpoint.json"
    locked = freeze_cutpoint(path, predictions, "cohort-1")
    with pytest.raises(DataError, match="fitted on another rule"):
        freeze_cutpoint(path, predictions, "cohort-1", SEARCHED, outcomes)
    # A centre that has only its own patients applies the lock, whatever its settings say.
    external = predictions[predictions["split"] == "external"]
    assert freeze_cutpoint(path, external, "cohort-1", SEARCHED) == locked
    moved = refit_cutpoint(path, predictions, "cohort-1", SEARCHED, outcomes)
    assert (moved.method, read_lock(path)) == ("maximally_selected", moved)
    assert list(tmp_path.glob("cutpoint-replaced-*.json"))


def test_youden_without_censoring_is_the_plain_index() -> None:
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 0.05, 0.15])
    time = np.array([9, 9, 9, 1, 9, 1, 1, 1, 9, 1, 9, 9.0])
    found = youden_cut(score, time, np.ones(12), 5, Support(at_risk=1))
    cases = time <= 5
    indices = {c: np.mean(score[cases] > c) + np.mean(score[~cases] <= c) - 1 for c in score}
    assert found.index == pytest.approx(max(indices.values()))
    assert found.cut == min(c for c, index in indices.items() if np.isclose(index, found.index))
    assert found.sensitivity + found.specificity - 1 == pytest.approx(found.index)
