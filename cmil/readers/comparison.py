"""What the model is worth beside readers, in every cohort that readers have read."""

import math
from collections.abc import Collection
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from cmil.readers.agreement import agreement_table
from cmil.readers.multireader_auc import model_against_readers
from cmil.readers.paired_decisions import against_readers
from cmil.readers.ratings import Readings, readings_of
from cmil.validation import cohort_auc, cohort_auc_difference, cohorts_of
from cmil.validation.discrimination import FEW, FEWEST, too_few
from cohorts.errors import DataError

_PAIRED = "DeLong, paired"
_SWAPPED = "MOVER of both AUCs; ranks swapped, beside equal ratings labels permuted"
_AUC_COLUMNS = (
    *("reader", "model", "reader_value", "difference", "ci_low", "ci_high", "p"),
    *("method", "note"),
)


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


def compare_with_readers(
    predictions: pd.DataFrame, ratings: pd.DataFrame, seed: np.random.SeedSequence
) -> ReaderTables:
    """Compare the frozen decision and score with readers, in the patients that were read.

    Parameters
    ----------
    predictions
        `patient_id, centre, split, score_kind, score, decision, label`.
    ratings
        As `cmil.readers.ratings.read_ratings` gives it.
    seed
        Of the study; the AUCs of few patients need draws.

    Raises
    ------
    DataError
        If a patient that was read has no score, or a reader has left out a patient of a cohort
        that another has read.
    """
    refuse_unknown_patients(ratings, set(predictions["patient_id"]))
    read = predictions[predictions["patient_id"].isin(ratings["patient_id"])]
    of_cohorts = [
        _of_cohort(
            patients, ratings[ratings["patient_id"].isin(patients["patient_id"])], cohort, seed
        )
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


def _of_cohort(
    patients: pd.DataFrame, ratings: pd.DataFrame, cohort: str, seed: np.random.SeedSequence
) -> ReaderTables:
    from cmil.readers.figures import reader_points

    names, labels = list(patients["patient_id"]), patients["label"]
    agreement = differences = points = auc = None
    if "decision" in ratings:
        readings = readings_of(ratings, names, "decision")
        agreement = _of(cohort, agreement_table(readings, patients["decision"]))
        differences = _of(cohort, against_readers(patients["decision"], readings, labels))
        points = _of(cohort, reader_points(readings, labels))
    if "rating" in ratings:
        auc = _of(cohort, _aucs(patients, readings_of(ratings, names, "rating"), seed))
    return ReaderTables(agreement, differences, points, auc)


def _of(cohort: str, table: pd.DataFrame) -> pd.DataFrame:
    table.insert(0, "cohort", cohort)
    return table


def _aucs(patients: pd.DataFrame, readings: Readings, seed: np.random.SeedSequence) -> pd.DataFrame:
    scores, labels = patients["score"].to_numpy(), patients["label"].to_numpy()
    fewest = int(min(labels.sum(), len(labels) - labels.sum()))
    if fewest < FEWEST:
        rows = [[name, *[math.nan] * 6, _PAIRED, too_few(fewest)] for name in readings.readers]
        return pd.DataFrame(rows, columns=list(_AUC_COLUMNS))
    method = _PAIRED if fewest >= FEW else _SWAPPED
    ours, rows = cohort_auc(patients, seed), []
    for name, rated in zip(readings.readers, readings.values, strict=True):
        theirs = cohort_auc(patients.assign(score=rated), seed)
        found = cohort_auc_difference((ours, theirs), (scores, rated), labels, seed)
        limits = [found.value, found.ci_low, found.ci_high, found.p]
        rows.append([name, ours.value, theirs.value, *limits, method, ""])
    if len(readings.readers) > 1:
        all_of = model_against_readers(scores, readings.values, labels)
        # Of two readers Student's t has a degree of freedom; no AUCs differ by more than 1.
        limits = [all_of.difference, max(all_of.ci_low, -1), min(all_of.ci_high, 1), all_of.p]
        means = [all_of.model, all_of.readers_mean]
        doubt = f"{fewest} patients of a label, fewer than {FEW}: interval may be too short"
        note = doubt if fewest < FEW else ""
        rows.append(["mean of readers", *means, *limits, all_of.method, note])
    return pd.DataFrame(rows, columns=list(_AUC_COLUMNS))
