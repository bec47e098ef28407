"""How a frozen model of several classes does, cohort by cohort and class by class."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cmil.validation.calibration_measures import observed_over_expected
from cmil.validation.decisions import Proportion, wilson
from cmil.validation.discrimination import FEWEST
from cmil.validation.estimate import Estimate, not_estimable
from cmil.validation.performance import cohort_auc, cohorts_of
from cohorts.strata import ALL_CLASSES

COLUMNS = (
    *("cohort", "class", "measure", "patients", "k", "n"),
    *("value", "ci_low", "ci_high", "method", "note"),
)
_OF_PROPORTIONS = {
    "sensitivity": "no patient of the class",
    "specificity": "no patient of another class",
    "ppv": "nobody called so",
    "accuracy": "no patient",
}


def class_performance(
    scores: pd.DataFrame, classes: Sequence[str], seed: np.random.SeedSequence
) -> pd.DataFrame:
    """Measure every class against the others, and all of them together, with 95% intervals.

    Parameters
    ----------
    scores
        One row a patient: `patient_id, centre, split, score_kind`; `label` and `said`, numbers of
        the known class and of the one called; of each class `score_<class>`, its probability, and
        `rank_<class>`, by which patients are ranked.
    classes
        In their order.
    seed
        Of the bootstrap that the AUC of few patients needs.

    Returns
    -------
    DataFrame
        One row a cohort, class and measure: `cohort, class` (`ALL_CLASSES` for all together),
        `measure`; `patients` of the class in the cohort; `k, n` of proportions; `value, ci_low,
        ci_high, method, note`. Of a class `auc` against all others (by `estimate_auc`),
        `sensitivity`, `specificity` and `ppv` (Wilson), and `o_e`, observed over expected; of all
        `accuracy` (Wilson) and `balanced_accuracy`, by `balanced_accuracy`.

    Raises
    ------
    DataError
        If a development score is not out-of-fold.
    """
    rows: list[dict[str, object]] = []
    for cohort, patients in cohorts_of(scores):
        for number, name in enumerate(classes):
            of_class = int((patients["label"] == number).sum())
            shared = {"cohort": cohort, "class": name, "patients": of_class}
            rows += [{**shared, **row} for row in _of_class(patients, number, name, seed)]
        shared = {"cohort": cohort, "class": ALL_CLASSES, "patients": len(patients)}
        right = int((patients["said"] == patients["label"]).sum())
        recalled = [_sensitivity(patients, number) for number in range(len(classes))]
        both = [
            _proportion("accuracy", wilson(right, len(patients))),
            {"measure": "balanced_accuracy", **vars(balanced_accuracy(recalled))},
        ]
        rows += [{**shared, **row} for row in both]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def balanced_accuracy(sensitivities: Sequence[Proportion]) -> Estimate:
    """Mean of the sensitivities of all classes, which every class moves by as much.

    The interval puts their Wilson intervals together: from the mean to its lower limit it is the
    root of the summed squares of theirs, each over the number of classes (MOVER for a linear
    function of proportions, Zou, Huang & Zhang 2009, Comput Stat Data Anal 53:1080, eq. 2). Where
    all sensitivities are near 1 it holds 87 to 93% only, as Wilson's limits end at 1. With fewer
    than 5 patients of a class nothing is estimated.

    Parameters
    ----------
    sensitivities
        Of each class, as `wilson` gives them.
    """
    method = "MOVER of Wilson intervals"
    fewest = min(of.n for of in sensitivities)
    if fewest < FEWEST:
        note = f"{fewest} patients of a class, fewer than {FEWEST}: not estimable"
        return not_estimable(method, note)
    value, low, high = (
        np.array([getattr(of, name) for of in sensitivities])
        for name in ("value", "ci_low", "ci_high")
    )
    mean = float(value.mean())
    below = math.sqrt(float(((value - low) ** 2).sum())) / len(value)
    above = math.sqrt(float(((high - value) ** 2).sum())) / len(value)
    return Estimate(mean, max(0.0, mean - below), min(1.0, mean + above), method)


def confusion(scores: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Count the patients of each class by the class they are called.

    Parameters
    ----------
    scores, classes
        As `class_performance` takes them.

    Returns
    -------
    DataFrame
        One row a cohort and pair of classes: `cohort, class, predicted_class, patients`.
    """
    rows = []
    for cohort, patients in cohorts_of(scores):
        for number, name in enumerate(classes):
            said = patients.loc[patients["label"] == number, "said"]
            counts = np.bincount(said.astype(int), minlength=len(classes))
            rows += [
                {"cohort": cohort, "class": name, "predicted_class": called, "patients": int(n)}
                for called, n in zip(classes, counts, strict=True)
            ]
    return pd.DataFrame(rows, columns=["cohort", "class", "predicted_class", "patients"])


def _of_class(
    patients: pd.DataFrame, number: int, name: str, seed: np.random.SeedSequence
) -> Iterator[dict[str, object]]:
    truth, called = patients["label"] == number, patients["said"] == number
    ranked = patients[["patient_id", "centre"]].assign(
        score=patients[f"rank_{name}"], label=truth.astype(int)
    )
    yield {"measure": "auc", **vars(_of_class_words(cohort_auc(ranked, seed), truth))}
    found = {
        "sensitivity": _sensitivity(patients, number),
        "specificity": wilson(int((~called & ~truth).sum()), int((~truth).sum())),
        "ppv": wilson(int((called & truth).sum()), int(called.sum())),
    }
    for measure, proportion in found.items():
        yield _proportion(measure, proportion)
    yield {"measure": "o_e", **vars(_observed_over_expected(patients[f"score_{name}"], truth))}


def _of_class_words(found: Estimate, truth: "pd.Series[bool]") -> Estimate:
    """Say of a class, not of a label, how few patients it has, or how few have another."""
    fewest = int(min(truth.sum(), (~truth).sum()))
    if fewest >= FEWEST:
        return found
    of = "of the class" if truth.sum() <= (~truth).sum() else "of other classes"
    return replace(found, note=f"{fewest} patients {of}, fewer than {FEWEST}: not estimable")


def _sensitivity(patients: pd.DataFrame, number: int) -> Proportion:
    said = patients.loc[patients["label"] == number, "said"]
    return wilson(int((said == number).sum()), len(said))


def _observed_over_expected(scores: ArrayLike, truth: "pd.Series[bool]") -> Estimate:
    if min(truth.sum(), (~truth).sum()) < FEWEST:
        return _of_class_words(not_estimable("", ""), truth)
    return observed_over_expected(scores, truth.astype(int))


def _proportion(measure: str, found: Proportion) -> dict[str, object]:
    note = "" if found.n else _OF_PROPORTIONS[measure]
    return {"measure": measure, **vars(found), "method": "Wilson", "note": note}
