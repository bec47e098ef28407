"""Weighted ROC curves against counting drawn patients, against pROC and scikit-learn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from cmil.validation.bootstrap import patient_weights
from cmil.validation.roc_samples import (
    Focus,
    area,
    average_precision,
    mcclish,
    partial_area,
    roc_samples,
)
from cohorts.errors import DataError, SettingsError

labelled = st.lists(
    st.tuples(st.integers(0, 5).map(float), st.integers(0, 1)), min_size=4, max_size=20
).filter(lambda rows: len({label for _, label in rows}) == 2)

# pROC's own tests, test-auc.R at 3a2663e: marker, focus, from, to -> area, corrected area.
PARTIAL: dict[tuple[str, Focus, float, float], tuple[float, float]] = {
    ("wfns", "specificity", 0.9, 1.0): (0.0334417344173442, 0.649693339038653),
    ("wfns", "specificity", 0.8, 0.9): (0.0598373983739837, 0.763749402199904),
    ("wfns", "specificity", 0.0, 0.5): (0.488134475939354, 0.952537903757416),
    ("ndka", "specificity", 0.9, 1.0): (0.0107046070460705, 0.530024247610897),
    ("ndka", "specificity", 0.8, 0.9): (0.0277777777777778, 0.575163398692811),
    ("wfns", "sensitivity", 0.9, 1.0): (0.0400999322493225, 0.68473648552275),
    ("wfns", "sensitivity", 0.8, 0.9): (0.0609953703703703, 0.770561002178649),
    ("wfns", "sensitivity", 0.0, 0.5): (0.483358739837398, 0.933434959349593),
    ("ndka", "sensitivity", 0.9, 1.0): (0.0037940379403794, np.nan),
    ("ndka", "sensitivity", 0.8, 0.9): (0.0242547425474255, 0.554439662043679),
    ("ndka", "sensitivity", 0.0, 1.0): (0.611957994579946, 0.611957994579946),
}


@given(labelled)
def test_weights_are_as_good_as_the_patients_drawn(rows: list[tuple[float, int]]) -> None:
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    weights = patient_weights(pd.DataFrame({"label": labels}), 4, np.random.default_rng(0))
    roc = roc_samples(scores, labels, weights)
    for sample, found, precision in zip(weights, area(roc), average_precision(roc), strict=True):
        drawn = np.repeat(np.arange(len(scores)), sample.astype(int))
        assert found == pytest.approx(roc_auc_score(labels[drawn], scores[drawn]))
        expected = average_precision_score(labels[drawn], scores[drawn])
        assert precision == pytest.approx(expected)


@given(labelled, st.floats(0.05, 0.95))
def test_parts_of_the_area_add_up(rows: list[tuple[float, int]], cut: float) -> None:
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    roc = roc_samples(scores, labels, np.ones((1, len(scores))))
    for focus in ("specificity", "sensitivity"):
        parts = partial_area(roc, 0, cut, focus) + partial_area(roc, cut, 1, focus)
        assert parts == pytest.approx(area(roc))


@pytest.mark.shared
def test_partial_areas_equal_proc(reference: Callable[[str], Path]) -> None:
    aneurysms = pd.read_csv(reference("pROC_aSAH.csv"))
    poor = (aneurysms["outcome"] == "Poor").astype(int)
    for (marker, focus, low, high), (expected, corrected) in PARTIAL.items():
        roc = roc_samples(aneurysms[marker], poor, np.ones((1, len(poor))))
        found = partial_area(roc, low, high, focus)
        assert found == pytest.approx([expected], abs=1e-13)
        assert mcclish(found, low, high) == pytest.approx([corrected], abs=1e-12, nan_ok=True)


def test_one_class_and_odd_bounds_are_refused() -> None:
    with pytest.raises(DataError, match="both labels"):
        roc_samples([0.1, 0.2], [1, 1], np.ones((1, 2)))
    roc = roc_samples([0.1, 0.2], [0, 1], np.ones((1, 2)))
    with pytest.raises(SettingsError, match=r"from 0.9 to 0.9"):
        partial_area(roc, 0.9, 0.9, "specificity")
