"""Thresholds against exhaustive search, and against the patients they may be fitted on."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmil.validation.thresholds import (
    Cost,
    cost_threshold,
    fit_thresholds,
    sensitivity_threshold,
    specificity_threshold,
    youden_threshold,
)
from cohorts.errors import DataError, SettingsError


def youden_index(threshold: float, scores: list[float], labels: list[int]) -> float:
    called, truth = np.array(scores) >= threshold, np.array(labels) == 1
    return float(called[truth].mean() + (~called[~truth]).mean() - 1)


labelled = st.lists(
    st.tuples(st.integers(0, 6).map(lambda i: i / 8), st.integers(0, 1)), min_size=2, max_size=14
).filter(lambda rows: len({label for _, label in rows}) == 2)


def every_cut(scores: list[float]) -> list[float]:
    """One threshold for each way of cutting the sorted scores in two, lowest first."""
    distinct = sorted(set(scores))
    midway = [(a + b) / 2 for a, b in pairwise(distinct)]
    return [distinct[0], *midway, math.nextafter(distinct[-1], math.inf)]


@given(labelled)
def test_no_other_cut_is_better_and_of_equals_the_lowest_is_taken(
    rows: list[tuple[float, int]],
) -> None:
    scores, labels = (list(column) for column in zip(*rows, strict=True))
    cuts = every_cut(scores)
    indices = [youden_index(cut, scores, labels) for cut in cuts]
    lowest_best = next(
        cut for cut, index in zip(cuts, indices, strict=True) if index > max(indices) - 1e-9
    )
    assert youden_threshold(scores, labels) == pytest.approx(lowest_best, abs=1e-15)


def test_separable_scores_are_cut_midway() -> None:
    assert youden_threshold([0.1, 0.2, 0.6, 0.9], [0, 0, 1, 1]) == pytest.approx(0.4)


def test_equally_good_cuts_take_the_one_that_misses_fewer() -> None:
    # Calling from 0.4 or from 0.8 on gives an index of 1/2 each.
    assert youden_threshold([0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1]) == pytest.approx(0.3)


def test_neighbouring_numbers_stay_apart() -> None:
    low = 0.5
    high = math.nextafter(low, 1)
    threshold = youden_threshold([low, high], [0, 1])
    assert low < threshold <= high
    low, high = high, math.nextafter(high, 1)  # here the mean of the two rounds the other way
    threshold = youden_threshold([low, high], [0, 1])
    assert low < threshold <= high


def test_reversed_scores_call_everyone_positive() -> None:
    # All or none are equally good, and none misses every metastasis.
    assert youden_threshold([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1]) == 0.1


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="both labels"):
        youden_threshold([0.1, 0.2], [1, 1])


@given(labelled, st.sampled_from([0.5, 0.8, 0.9, 1.0]))
def test_fixed_shares_are_reached_and_no_further_threshold_reaches_them(
    rows: list[tuple[float, int]], share: float
) -> None:
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    cuts = every_cut(scores.tolist())
    sensitivities = [float((scores[labels == 1] >= cut).mean()) for cut in cuts]
    specificities = [float((scores[labels == 0] < cut).mean()) for cut in cuts]
    highest = max(c for c, s in zip(cuts, sensitivities, strict=True) if s >= share - 1e-12)
    lowest = min(c for c, s in zip(cuts, specificities, strict=True) if s >= share - 1e-12)
    assert sensitivity_threshold(scores, labels, share) == pytest.approx(highest, abs=1e-15)
    assert specificity_threshold(scores, labels, share) == pytest.approx(lowest, abs=1e-15)


@given(labelled, st.floats(0.1, 10), st.floats(0.05, 0.95))
def test_no_other_cut_costs_less(
    rows: list[tuple[float, int]], missed: float, prevalence: float
) -> None:
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))

    def expected(cut: float) -> float:
        misses = missed * prevalence * (scores[labels == 1] < cut).mean()
        return float(misses + (1 - prevalence) * (scores[labels == 0] >= cut).mean())

    found = cost_threshold(scores, labels, Cost(missed, 1.0, prevalence))
    assert expected(found) <= min(expected(cut) for cut in every_cut(scores.tolist())) + 1e-9


def development(**columns: object) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "patient_id": ["P0", "P1", "P2", "P3"],
            "split": "development",
            "score_kind": "oof",
            "score": [0.1, 0.4, 0.6, 0.9],
            "label": [0, 0, 1, 1],
        }
    )
    return table.assign(**columns)


def test_all_rules_by_name() -> None:
    fitted = fit_thresholds(development(), 0.95, 0.9, Cost(5, 1, 0.3))
    assert fitted == {
        "youden": pytest.approx(0.5),
        "sensitivity 0.95": pytest.approx(0.5),
        "specificity 0.9": pytest.approx(0.5),
        "cost": pytest.approx(0.5),
    }


@pytest.mark.parametrize(
    "columns",
    [{"split": ["development"] * 3 + ["external"]}, {"score_kind": ["oof"] * 3 + ["train"]}],
)
def test_only_out_of_fold_development_scores_may_choose(columns: dict[str, object]) -> None:
    with pytest.raises(DataError, match='"P3" has no out-of-fold development score'):
        fit_thresholds(development(**columns), 0.95, 0.95, Cost(1, 1, 0.5))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"sensitivity 1.2"):
        sensitivity_threshold([0.1, 0.2], [0, 1], 1.2)
    with pytest.raises(SettingsError, match="prevalence 0"):
        Cost(1, 1, 0)
