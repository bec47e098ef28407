"""All numbers of a validation at once: one table a question, every number with its interval."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from cmil.validation.auc_difference import AucDifference, unpaired_auc_difference
from cmil.validation.bootstrap import SAMPLES, patient_weights
from cmil.validation.calibration_curve import METHOD as CURVE
from cmil.validation.calibration_curve import calibration_curve, score_histogram
from cmil.validation.calibration_measures import calibration_measures
from cmil.validation.decision_curve import ALL, MODEL, NONE, decision_curve
from cmil.validation.decisions import Interval, decision_table
from cmil.validation.discrimination import FEW, FEWEST, ranking_measures, roc_curve
from cmil.validation.heterogeneity import heterogeneity
from cmil.validation.performance import (
    cohort_auc,
    cohort_auc_difference,
    cohorts_of,
    refuse_flattered,
)
from cmil.validation.subgroups import subgroups as of_subgroups
from cohorts.errors import DataError, SettingsError
from cohorts.strata import DEVELOPMENT
from survival.multiplicity import adjusted_p

_ROC = ["threshold", "sensitivity", "specificity"]


@dataclass(frozen=True)
class Questions:
    """What is asked of a validation beyond what always is.

    `prevalences` at which predictive values are given; `interval` of proportions; `comparator`, a
    column of probabilities or of decisions 0 and 1; `subgroups`, columns of a few levels each;
    `samples`, the number of bootstrap samples.
    """

    prevalences: tuple[float, ...] = ()
    interval: Interval = "wilson"
    comparator: str | None = None
    subgroups: tuple[str, ...] = ()
    samples: int = SAMPLES


@dataclass(frozen=True)
class ValidationTables:
    """Tables of a validation; `cohort` is in each but those of centres and subgroups.

    `discrimination`, `calibration`: `cohort, patients, positives, measure, value, ci_low, ci_high,
    method, note`; `decisions` as `decision_table`; `roc` as `roc_curve`; `calibration_curve`,
    `score_histogram`, `decision_curve` as the functions of that name; `comparisons`: differences of
    AUC, `cohort, comparison, difference, ci_low, ci_high, p, p_holm, method, note`; `centres`,
    `heterogeneity`, `leave_one_out` as `Heterogeneity`, of external centres; `subgroups`, of
    external patients.
    """

    discrimination: pd.DataFrame
    roc: pd.DataFrame
    decisions: pd.DataFrame
    calibration: pd.DataFrame
    calibration_curve: pd.DataFrame
    score_histogram: pd.DataFrame
    decision_curve: pd.DataFrame
    comparisons: pd.DataFrame
    centres: pd.DataFrame
    heterogeneity: pd.DataFrame
    leave_one_out: pd.DataFrame
    subgroups: pd.DataFrame


def validate_scores(
    predictions: pd.DataFrame,
    thresholds: Mapping[str, float],
    seed: np.random.SeedSequence,
    questions: Questions = Questions(),
) -> ValidationTables:
    """Evaluate frozen scores at locked thresholds, cohort by cohort and over centres.

    Parameters
    ----------
    predictions
        With columns `patient_id, centre, split, score_kind, score, label`, and those that
        `questions` names.
    thresholds
        Locked thresholds by name.
    seed
        Of the bootstrap.
    questions
        What else is asked.

    Raises
    ------
    DataError
        If a label is missing, a score is not a probability, a patient occurs twice, a development
        score is not out-of-fold or an external one not external, or a column is missing.
    SettingsError
        If a threshold is not finite, none is given, or the comparator's name is taken.
    """
    _check(predictions, thresholds, questions)
    cohorts = dict(cohorts_of(predictions))
    parts: dict[str, list[pd.DataFrame]] = {}
    # A sequence counts its children; from a copy, the same seed draws the same again.
    *seeds, last = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key).spawn(
        len(cohorts) + 1
    )
    for (name, patients), own in zip(cohorts.items(), seeds, strict=True):
        for table, rows in _of_cohort(patients, thresholds, questions, own, seed).items():
            parts.setdefault(table, []).append(_first(rows, cohort=name))
    tables = {name: pd.concat(rows, ignore_index=True) for name, rows in parts.items()}
    external = predictions[predictions["split"] == "external"]
    over_centres = heterogeneity(external, thresholds)
    strata = external[["label", "centre"]]
    weights = patient_weights(strata, questions.samples, np.random.default_rng(last))
    return ValidationTables(
        **tables,
        comparisons=_comparisons(cohorts, questions.comparator, seed),
        centres=over_centres.centres,
        heterogeneity=over_centres.pooled,
        leave_one_out=over_centres.leave_one_out,
        subgroups=of_subgroups(external, questions.subgroups, thresholds, weights),
    )


def _check(
    predictions: pd.DataFrame, thresholds: Mapping[str, float], questions: Questions
) -> None:
    wanted = ["patient_id", "centre", "split", "score_kind", "score", "label"]
    wanted += [questions.comparator] if questions.comparator else []
    for column in wanted:
        if column not in predictions:
            raise DataError(f'predictions have no column "{column}"; validation needs it')
    refuse_taken_name(questions.comparator)
    if not thresholds or not all(math.isfinite(value) for value in thresholds.values()):
        raise SettingsError("validation needs locked thresholds, each a finite number")
    refuse_unfit_predictions(predictions)
    if questions.comparator:
        outside = ~predictions[questions.comparator].between(0, 1)
        _refuse_first(predictions, {f'has no "{questions.comparator}" from 0 to 1': outside})


def refuse_taken_name(comparator: str | None) -> None:
    """Refuse a comparator that is named as a strategy of the decision curves is.

    Raises
    ------
    SettingsError
        Naming it.
    """
    if comparator in (MODEL, ALL, NONE):
        raise SettingsError(f'comparator "{comparator}": the name is taken; rename it')


def refuse_unfit_predictions(predictions: pd.DataFrame) -> None:
    """Refuse rows that cannot be evaluated, or would flatter the model.

    Raises
    ------
    DataError
        As `validate_scores`, naming the first patient.
    """
    external = predictions["split"] == "external"
    problems = {
        "has no label 0 or 1; validation needs one": ~predictions["label"].isin([0, 1]),
        "has no score from 0 to 1": ~predictions["score"].between(0, 1),
        "occurs twice": predictions["patient_id"].duplicated(),
        "is external, but its score is not of kind external": external
        & (predictions["score_kind"] != "external"),
    }
    _refuse_first(predictions, problems)
    refuse_flattered(predictions)


def _refuse_first(predictions: pd.DataFrame, problems: Mapping[str, "pd.Series[bool]"]) -> None:
    for problem, rows in problems.items():
        if rows.any():
            raise DataError(f'patient "{predictions.loc[rows, "patient_id"].iloc[0]}" {problem}')


def _of_cohort(
    patients: pd.DataFrame,
    thresholds: Mapping[str, float],
    questions: Questions,
    seed: np.random.SeedSequence,
    of_study: np.random.SeedSequence,
) -> dict[str, pd.DataFrame]:
    scores, labels = patients["score"].to_numpy(), patients["label"].to_numpy()
    by_outcome, free = (
        patient_weights(patients[strata], questions.samples, np.random.default_rng(own))
        for strata, own in zip((["label", "centre"], ["centre"]), seed.spawn(2), strict=True)
    )
    ranked = {
        "auc": cohort_auc(patients, of_study),
        **ranking_measures(scores, labels, by_outcome),
    }
    calibrated = calibration_measures(scores, labels, free)
    size = {"patients": len(labels), "positives": int(labels.sum())}
    compared = questions.comparator
    comparator = (compared, patients[compared].to_numpy()) if compared else None
    both = 0 < labels.sum() < len(labels)
    return {
        "discrimination": pd.DataFrame(
            [{**size, "measure": name, **asdict(one)} for name, one in ranked.items()]
        ),
        "roc": roc_curve(scores, labels) if both else pd.DataFrame(columns=_ROC, dtype=float),
        "decisions": decision_table(
            scores, labels, thresholds, questions.prevalences, questions.interval
        ),
        "calibration": pd.DataFrame(
            [{**size, "measure": name, **asdict(one)} for name, one in calibrated.items()]
        ),
        "calibration_curve": calibration_curve(scores, labels).assign(method=CURVE),
        "score_histogram": score_histogram(scores, labels),
        "decision_curve": decision_curve(scores, labels, free, comparator),
    }


def _comparisons(
    cohorts: Mapping[str, pd.DataFrame], comparator: str | None, seed: np.random.SeedSequence
) -> pd.DataFrame:
    """Model against comparator in the same patients; external cohorts against development."""
    development = cohorts.get(DEVELOPMENT)
    rows = []
    for name, patients in cohorts.items():
        scores, labels = patients["score"], patients["label"]
        if comparator:
            enough = _enough(patients, FEWEST)
            found = _paired(patients, comparator, seed) if enough else None
            method = "MOVER; swapped ranks" if not _enough(patients, FEW) else "DeLong, paired"
            rows.append(_compared(name, f"model less {comparator}", method, found))
        if development is not None and name != DEVELOPMENT:
            enough = _enough(patients, FEWEST) and _enough(development, FEWEST)
            found = (
                unpaired_auc_difference(scores, labels, development["score"], development["label"])
                if enough
                else None
            )
            rows.append(_compared(name, "less development", "DeLong, unpaired", found))
    columns = ["cohort", "comparison", "difference", "ci_low", "ci_high", "p", "method", "note"]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(6, "p_holm", adjusted_p(table["p"], "holm"))
    return table


def _paired(patients: pd.DataFrame, comparator: str, seed: np.random.SeedSequence) -> AucDifference:
    theirs = patients.assign(score=patients[comparator])
    aucs = cohort_auc(patients, seed), cohort_auc(theirs, seed)
    scores = patients["score"], theirs["score"]
    return cohort_auc_difference(aucs, scores, patients["label"], seed)


def _compared(
    cohort: str, comparison: str, method: str, found: AucDifference | None
) -> dict[str, object]:
    nothing = AucDifference(*[math.nan] * 6)
    known = found or nothing
    note = "" if found else f"fewer than {FEWEST} patients of a label: not estimable"
    if found and math.isnan(found.p):
        note = "difference without spread: interval and p not estimable"
    return {
        "cohort": cohort,
        "comparison": comparison,
        "difference": known.value,
        "ci_low": known.ci_low,
        "ci_high": known.ci_high,
        "p": known.p,
        "method": method,
        "note": note,
    }


def _enough(patients: pd.DataFrame, least: int) -> bool:
    positives = int(patients["label"].sum())
    return min(positives, len(patients) - positives) >= least


def _first(table: pd.DataFrame, **columns: str) -> pd.DataFrame:
    return table.assign(**columns)[[*columns, *table.columns]]
