"""What the model is worth beside readers, in every cohort that readers have read."""

import math
from collections.abc import Collection
from dataclasses import dataclass, fields

import pandas as pd

from cmil.readers.agreement import agreement_table
from cmil.readers.multireader_auc import model_against_readers
from cmil.readers.paired_decisions import against_readers
from cmil.readers.ratings import Readings, readings_of
from cmil.validation import cohorts_of
from cmil.validation.auc_difference import auc_difference
from cmil.validation.discrimination import auc_delong
from cohorts.errors import DataError

_FEWEST = 2


@dataclass(frozen=True)
class ReaderTables:
    """Model and readers on the same patients; `cohort` is the first column of each table.

    Attributes
    ----------
    agreement, differences, points
        As `agreement_table`, `against_readers` and `reader_points`; None without decisions.
    auc
        `cohort, reader` (one, or "mean of readers"), `model, reader_value, difference, ci_low,
        ci_high, p, method, note`; None without ratings.
    """

    agreement: pd.DataFrame | None = None
    differences: pd.DataFrame | None = None
    points: pd.DataFrame | None = None
    auc: pd.DataFrame | None = None


def compare_with_readers(predictions: pd.DataFrame, ratings: pd.DataFrame) -> ReaderTables:
    """Compare the frozen decision and score with readers, in the patients that were read.

    Parameters
    ----------
    predictions
        `patient_id, centre, split, score_kind, score, decision, label`.
    ratings
        As `cmil.readers.ratings.read_ratings` gives it.

    Raises
    ------
    DataError
        If a patient that was read has no score, or a reader has left out a patient of a cohort
        that another has read.
    """
    refuse_unknown_patients(ratings, set(predictions["patient_id"]))
    read = predictions[predictions["patient_id"].isin(ratings["patient_id"])]
    of_cohorts = [
        _of_cohort(patients, ratings[ratings["patient_id"].isin(patients["patient_id"])], cohort)
        for cohort, patients in cohorts_of(read)
    ]
    joined = {}
    for field in fields(ReaderTables):
        tables = [getattr(one, field.name) for one in of_cohorts]
        known = [table for table in tables if table is not None]
        joined[field.name] = pd.concat(known, ignore_index=True) if known else None
    return ReaderTables(**joined)


def refuse_unknown_patients(ratings: pd.DataFrame, patients: Collection[str]) -> None:
    """Refuse ratings of patients who have no score.

    Raises
    ------
    DataError
        Naming the first reading.
    """
    unknown = ratings[~ratings["patient_id"].isin(list(patients))]
    if len(unknown):
        row = unknown.iloc[0]
        raise DataError(
            f'reader "{row["reader_id"]}" has read patient "{row["patient_id"]}", who has no '
            "score; leave the patient out of the ratings table"
        )


def _of_cohort(patients: pd.DataFrame, ratings: pd.DataFrame, cohort: str) -> ReaderTables:
    from cmil.readers.figures import reader_points

    names, labels = list(patients["patient_id"]), patients["label"]
    agreement = differences = points = auc = None
    if "decision" in ratings:
        readings = readings_of(ratings, names, "decision")
        agreement = _of(cohort, agreement_table(readings, patients["decision"]))
        differences = _of(cohort, against_readers(patients["decision"], readings, labels))
        points = _of(cohort, reader_points(readings, labels))
    if "rating" in ratings:
        auc = _of(cohort, _aucs(patients, readings_of(ratings, names, "rating")))
    return ReaderTables(agreement, differences, points, auc)


def _of(cohort: str, table: pd.DataFrame) -> pd.DataFrame:
    table.insert(0, "cohort", cohort)
    return table


def _aucs(patients: pd.DataFrame, readings: Readings) -> pd.DataFrame:
    scores, labels = patients["score"].to_numpy(), patients["label"].to_numpy()
    columns = ["reader", "model", "reader_value", "difference", "ci_low", "ci_high", "p"]
    columns += ["method", "note"]
    if min(labels.sum(), len(labels) - labels.sum()) < _FEWEST:
        nothing = [math.nan] * 6
        note = f"fewer than {_FEWEST} patients of a label: not estimable"
        rows = [[name, *nothing, "DeLong, paired", note] for name in readings.readers]
        return pd.DataFrame(rows, columns=columns)
    rows = []
    for name, rated in zip(readings.readers, readings.values, strict=True):
        found = auc_difference(scores, rated, labels)
        model = auc_delong(scores, labels).value
        limits = [found.value, found.ci_low, found.ci_high, found.p]
        rows.append([name, model, model - found.value, *limits, "DeLong, paired", ""])
    if len(readings.readers) > 1:
        all_of = model_against_readers(scores, readings.values, labels)
        limits = [all_of.difference, all_of.ci_low, all_of.ci_high, all_of.p]
        means = [all_of.model, all_of.readers_mean]
        rows.append(["mean of readers", *means, *limits, all_of.method, ""])
    return pd.DataFrame(rows, columns=columns)
