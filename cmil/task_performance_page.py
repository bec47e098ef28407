"""What the page of a study of classes or of an endpoint shows of how the model does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cmil.task_results_table import measured_text, with_measures
from cmil.task_validation import read_task_validation
from cohorts.strata import ALL_CLASSES

_OF_ENDPOINT = ("concordance", "auc", "o_e", "calibration_slope", "ici", "brier", "ipa")


@dataclass(frozen=True)
class ClassLine:
    """A class in a cohort: its measures as text, and how many of it were called what."""

    name: str
    patients: int
    auc: str
    sensitivity: str
    ppv: str
    called: Sequence[int]


@dataclass(frozen=True)
class ClassTable:
    """The classes of a cohort."""

    cohort: str
    lines: Sequence[ClassLine]
    accuracy: str
    balanced_accuracy: str
    notes: Sequence[str]


@dataclass(frozen=True)
class EndpointLine:
    """A cohort of an endpoint: its measures as text."""

    cohort: str
    patients: int
    events: int
    measures: Sequence[str]
    notes: Sequence[str]


@dataclass(frozen=True)
class TaskPerformance:
    """The section on performance; either of classes or of an endpoint."""

    classes: Sequence[ClassTable]
    endpoint: Sequence[EndpointLine]


def task_performance_part(folder: Path) -> TaskPerformance:
    """Prepare the section from `validation/`.

    Raises
    ------
    FileFormatError
        If a table is missing.
    """
    found = read_task_validation(folder)
    cohorts = found.performance.groupby("cohort", sort=False)
    if found.confusion is None:
        return TaskPerformance((), [_endpoint_line(str(name), rows) for name, rows in cohorts])
    tables = [_class_table(str(name), rows, found.confusion) for name, rows in cohorts]
    return TaskPerformance(tables, ())


def _class_table(cohort: str, rows: pd.DataFrame, confusion: pd.DataFrame) -> ClassTable:
    counts = confusion[confusion["cohort"] == cohort].groupby("class", sort=False)["patients"]
    called = {str(name): of.tolist() for name, of in counts}
    measured = {
        (row["class"], row["measure"]): measured_text(row) for row in rows.to_dict("records")
    }
    of_class = rows.groupby("class", sort=False)["patients"].first().drop(ALL_CLASSES)
    lines = [
        ClassLine(
            name=str(name),
            patients=int(patients),
            auc=measured[name, "auc"],
            sensitivity=measured[name, "sensitivity"],
            ppv=measured[name, "ppv"],
            called=called[str(name)],
        )
        for name, patients in of_class.items()
    ]
    accuracy = measured[ALL_CLASSES, "accuracy"]
    return ClassTable(
        cohort, lines, accuracy, measured[ALL_CLASSES, "balanced_accuracy"], _notes(rows)
    )


def _endpoint_line(cohort: str, rows: pd.DataFrame) -> EndpointLine:
    measured = {row["measure"]: measured_text(row) for row in rows.to_dict("records")}
    first = rows.iloc[0]
    return EndpointLine(
        cohort,
        int(first["patients"]),
        int(first["events"]),
        [measured[name] for name in _OF_ENDPOINT],
        _notes(rows),
    )


def _notes(rows: pd.DataFrame) -> Sequence[str]:
    noted = rows[rows["note"] != ""].to_dict("records")
    notes = [f'class "{r["class"]}": {r["note"]}' if "class" in r else r["note"] for r in noted]
    return with_measures(notes, [row["measure"].replace("_", " ") for row in noted])
