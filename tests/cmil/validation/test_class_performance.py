"""Measures of several classes against scikit-learn's, and their intervals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    precision_score,
    recall_score,
    roc_auc_score,
)

from cmil.validation.class_performance import balanced_accuracy, class_performance, confusion
from cmil.validation.decisions import wilson
from cohorts.errors import DataError
from cohorts.strata import ALL_CLASSES, POOLED

CLASSES = ("blasts", "NA", "reactive")
SEED = np.random.SeedSequence(3)


def told(labels: list[int], said: list[int], seed: int = 0) -> pd.DataFrame:
    """External patients in two centres, with scores that have nothing to do with what is said."""
    patients = len(labels)
    scores = np.random.default_rng(seed).dirichlet(np.ones(len(CLASSES)), patients)
    table = pd.DataFrame(
        {
            "patient_id": [f"P{i:03d}" for i in range(patients)],
            "centre": [f"C{i % 2}" for i in range(patients)],
            "split": "external",
            "score_kind": "external",
            "label": labels,
            "said": said,
        }
    )
    for number, name in enumerate(CLASSES):
        table[f"rank_{name}"] = table[f"score_{name}"] = scores[:, number]
    return table


def of(table: pd.DataFrame, cohort: str, measure: str) -> pd.Series:
    rows = table[(table["cohort"] == cohort) & (table["measure"] == measure)]
    return rows.set_index("class")["value"]


patients = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=4, max_size=60)


@given(patients)
def test_counts_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, said = (list(of_all) for of_all in zip(*pairs, strict=True))
    scores = told(labels, said)
    counts = confusion(scores, CLASSES)
    pooled = counts[counts["cohort"] == POOLED]["patients"].to_numpy().reshape(3, 3)
    assert (pooled == confusion_matrix(labels, said, labels=[0, 1, 2])).all()
    table = class_performance(scores, CLASSES, SEED)
    ways = {"average": None, "labels": [0, 1, 2], "zero_division": np.nan}
    for measure, theirs in (("sensitivity", recall_score), ("ppv", precision_score)):
        ours = of(table, POOLED, measure)[list(CLASSES)]
        np.testing.assert_allclose(ours, theirs(labels, said, **ways))
    accuracy = of(table, POOLED, "accuracy")[ALL_CLASSES]
    assert accuracy == pytest.approx(np.mean(np.array(labels) == said))
    balanced = of(table, POOLED, "balanced_accuracy")[ALL_CLASSES]
    if min(labels.count(number) for number in range(3)) >= 5:
        assert balanced == pytest.approx(balanced_accuracy_score(labels, said))
    else:
        assert np.isnan(balanced)
    limits = table.dropna(subset=["ci_low"])
    assert (limits["ci_low"] <= limits["value"] + 1e-12).all()
    assert (limits["value"] <= limits["ci_high"] + 1e-12).all()
    assert (table["note"] != "")[table["value"].isna()].all()


def test_areas_are_of_each_class_against_the_rest_whatever_the_order_of_patients() -> None:
    labels = [0, 1, 2] * 20
    scores = told(labels, labels)
    table = class_performance(scores, CLASSES, SEED)
    ranks = scores[[f"rank_{name}" for name in CLASSES]].to_numpy()
    theirs = roc_auc_score(labels, ranks, multi_class="ovr", average=None)
    np.testing.assert_allclose(of(table, POOLED, "auc")[list(CLASSES)], theirs)
    assert of(table, POOLED, "o_e")["NA"] == pytest.approx(20 / scores["score_NA"].sum())
    shuffled = scores.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(class_performance(shuffled, CLASSES, SEED), table)


def test_the_interval_of_a_mean_of_one_is_its_own_and_of_equals_is_shorter() -> None:
    one = wilson(7, 10)
    alone = balanced_accuracy([one])
    assert (alone.ci_low, alone.ci_high) == pytest.approx((one.ci_low, one.ci_high))
    four = balanced_accuracy([one] * 4)
    assert four.ci_low == pytest.approx(one.value - (one.value - one.ci_low) / 2)
    perfect = balanced_accuracy([wilson(10, 10)] * 3)
    assert perfect.ci_high == 1 and perfect.ci_low < 1


def test_the_interval_of_balanced_accuracy_holds_the_truth() -> None:
    truth, sizes = np.array([0.95, 0.8, 0.6]), (8, 15, 30)
    rng = np.random.default_rng(0)
    drawn = np.column_stack([rng.binomial(n, p, 2000) for n, p in zip(sizes, truth, strict=True)])
    held = []
    for counts in drawn:
        found = balanced_accuracy([wilson(int(k), n) for k, n in zip(counts, sizes, strict=True)])
        held.append(found.ci_low <= truth.mean() <= found.ci_high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_scores_of_a_model_that_has_seen_its_patients_are_refused() -> None:
    scores = told([0, 1, 2], [0, 1, 2]).assign(split="development", score_kind="training")
    with pytest.raises(DataError, match="only out-of-fold scores"):
        class_performance(scores, CLASSES, SEED)
