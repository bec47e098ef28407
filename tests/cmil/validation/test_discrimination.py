"""AUC and its interval against their definitions, and against R's pROC."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from sklearn.metrics import average_precision_score

from cmil.validation.bootstrap import patient_weights
from cmil.validation.discrimination import (
    auc_delong,
    estimate_auc,
    hanley_mcneil_variance,
    logit_interval,
    newcombe_interval,
    ranking_measures,
    roc_curve,
)
from cohorts.errors import DataError

# Few distinct scores, so that most examples hold ties within and between the classes.
scores = st.integers(-4, 4).map(float)
both_classes = st.tuples(
    st.lists(scores, min_size=2, max_size=12), st.lists(scores, min_size=2, max_size=12)
)


def joined(cases: list[float], controls: list[float]) -> tuple[list[float], list[int]]:
    return [*cases, *controls], [1] * len(cases) + [0] * len(controls)


def kernel(cases: list[float], controls: list[float]) -> NDArray[np.float64]:
    """psi(X_i, Y_j) of DeLong et al. 1988: 1, 1/2 or 0 as the case lies above, at or below."""
    return np.array([[(x > y) + 0.5 * (x == y) for y in controls] for x in cases], dtype=float)


@given(both_classes)
def test_auc_is_the_share_of_pairs_in_order(classes: tuple[list[float], list[float]]) -> None:
    assert auc_delong(*joined(*classes)).value == pytest.approx(kernel(*classes).mean(), abs=1e-12)


@given(both_classes)
def test_variance_is_that_of_the_structural_components(
    classes: tuple[list[float], list[float]],
) -> None:
    psi = kernel(*classes)
    v10, v01 = psi.mean(axis=1), psi.mean(axis=0)
    s10 = np.sum((v10 - psi.mean()) ** 2) / (len(v10) - 1)
    s01 = np.sum((v01 - psi.mean()) ** 2) / (len(v01) - 1)
    expected = s10 / len(v10) + s01 / len(v01)

    auc = auc_delong(*joined(*classes))

    assert auc.variance == pytest.approx(expected, abs=1e-12)
    half = 1.959963984540054 * math.sqrt(expected)
    assert auc.ci_low == pytest.approx(max(0.0, psi.mean() - half), abs=1e-9)
    assert auc.ci_high == pytest.approx(min(1.0, psi.mean() + half), abs=1e-9)


@given(both_classes)
def test_only_the_order_of_scores_matters(classes: tuple[list[float], list[float]]) -> None:
    values, labels = joined(*classes)
    assert auc_delong(np.exp(values) - 7, labels) == auc_delong(values, labels)


@given(both_classes)
def test_swapped_labels_mirror_the_auc(classes: tuple[list[float], list[float]]) -> None:
    values, labels = joined(*classes)
    there, back = auc_delong(values, labels), auc_delong(values, 1 - np.array(labels))
    assert back.value == pytest.approx(1 - there.value, abs=1e-12)
    assert back.variance == pytest.approx(there.variance, abs=1e-12)


def test_one_patient_of_a_class_leaves_the_interval_unknown() -> None:
    auc = auc_delong([0.1, 0.4, 0.3], [0, 0, 1])  # pROC::ci.auc gives NA here
    assert auc.value == 0.5
    assert all(math.isnan(number) for number in (auc.ci_low, auc.ci_high, auc.variance))


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_refused(label: int) -> None:
    with pytest.raises(DataError, match="both labels"):
        auc_delong([0.1, 0.2], [label, label])
    with pytest.raises(DataError, match="both labels"):
        roc_curve([0.1, 0.2], [label, label])


@pytest.mark.shared
def test_equals_proc_on_its_own_data(reference: Callable[[str], Path]) -> None:
    expected = {
        entry["id"]: entry["value"]
        for entry in json.loads(reference("reference_values.json").read_text(encoding="utf-8"))
    }
    patients = pd.read_csv(reference("pROC_aSAH.csv"))
    poor = (patients["outcome"] == "Poor").astype(int)
    auc = {name: auc_delong(patients[name], poor) for name in ("wfns", "s100b", "ndka")}

    assert [auc[name].value for name in ("wfns", "s100b", "ndka")] == pytest.approx(
        expected["auc_asah"], abs=1e-10
    )
    # pROC::var.auc and pROC::ci.auc
    assert [auc[name].variance for name in ("wfns", "ndka", "s100b")] == pytest.approx(
        expected["delong_var"], abs=1e-12
    )
    ndka = auc["ndka"]
    assert [ndka.ci_low, ndka.value, ndka.ci_high] == pytest.approx(expected["delong_ci"], abs=1e-9)


@given(both_classes)
def test_roc_curve_runs_from_no_one_to_everyone(
    classes: tuple[list[float], list[float]],
) -> None:
    curve = roc_curve(*joined(*classes))
    assert curve.iloc[0].tolist() == [math.inf, 0.0, 1.0]
    assert curve.iloc[-1].tolist() == [min([*classes[0], *classes[1]]), 1.0, 0.0]
    assert curve["threshold"].is_monotonic_decreasing
    assert curve["threshold"].is_unique
    assert curve["sensitivity"].is_monotonic_increasing
    assert curve["specificity"].is_monotonic_decreasing


@given(both_classes)
def test_area_under_the_curve_is_the_auc(classes: tuple[list[float], list[float]]) -> None:
    curve = roc_curve(*joined(*classes))
    area = trapezoid(curve["sensitivity"], 1 - curve["specificity"])
    assert area == pytest.approx(auc_delong(*joined(*classes)).value, abs=1e-12)


def test_roc_curve_counts_a_score_at_the_threshold_as_positive() -> None:
    curve = roc_curve([0.2, 0.5, 0.5, 0.9], [0, 0, 1, 1]).set_index("threshold")
    assert curve.loc[0.5].tolist() == [1.0, 0.5]


RNG = np.random.default_rng


def weights_of(labels: np.ndarray, samples: int = 400) -> np.ndarray:
    return patient_weights(pd.DataFrame({"label": labels}), samples, RNG(1))


def drawn(cases: int, controls: int, distance: float) -> tuple[np.ndarray, np.ndarray]:
    random = RNG(4)
    labels = np.repeat([1, 0], [cases, controls])
    return random.normal(size=cases + controls) + distance * labels, labels


def test_interval_suits_the_patients() -> None:
    """Which method, by the number of patients and the height of the AUC."""
    cases = {
        "DeLong, logit scale": drawn(30, 40, 1.0),
        "bootstrap standard error over patients, by outcome and centre, logit scale": drawn(
            7, 40, 1.0
        ),
        "Hanley-McNeil score interval (Newcombe 2006, method 5)": drawn(12, 20, 20.0),
    }
    for method, (scores, labels) in cases.items():
        found = estimate_auc(scores, labels, weights_of(labels))
        assert found.method == method
        assert 0 <= found.ci_low < found.value <= found.ci_high <= 1
    scores, labels = drawn(4, 40, 1.0)
    few = estimate_auc(scores, labels, weights_of(labels))
    assert math.isnan(few.value)
    assert few.note == "4 patients of a label, fewer than 5: not estimable"


def test_logit_interval_is_the_delta_method() -> None:
    low, high = logit_interval(0.9, 0.0009)
    half = 1.959964 * 0.03 / 0.09
    assert math.log(high / (1 - high)) == pytest.approx(math.log(9) + half, abs=1e-6)
    assert math.log(low / (1 - low)) == pytest.approx(math.log(9) - half, abs=1e-6)


def test_newcombe_interval_is_where_the_score_statistic_is_1_96() -> None:
    """And is the mirror image for 1 - AUC."""
    low, high = newcombe_interval(0.85, 20, 30)
    for limit in (low, high):
        z2 = (0.85 - limit) ** 2 / hanley_mcneil_variance(limit, 20, 30)
        assert z2 == pytest.approx(1.959964**2, rel=1e-5)
    assert newcombe_interval(0.15, 20, 30) == pytest.approx((1 - high, 1 - low))
    low, high = newcombe_interval(1.0, 12, 20)
    assert 0.8 < low < 0.95
    assert high == 1


def test_ranking_measures_have_intervals_and_reasons() -> None:
    scores, labels = drawn(30, 60, 1.0)
    found = ranking_measures(scores, labels, weights_of(labels))
    assert found["average_precision"].value == pytest.approx(
        average_precision_score(labels, scores)
    )
    for one in found.values():
        assert one.ci_low < one.value < one.ci_high
    upside_down = ranking_measures(-scores, labels, weights_of(labels))
    assert "below chance" in upside_down["partial_auc_specificity_0.9_to_1"].note
    few = ranking_measures(scores[:33], labels[:33], weights_of(labels[:33]))
    assert all("3 patients of a label" in one.note for one in few.values())
