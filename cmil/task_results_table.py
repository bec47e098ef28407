"""What a model of classes or of an endpoint reaches, as short tables for a terminal."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from cohorts.strata import ALL_CLASSES
from survival.print_numbers import interval_text

if TYPE_CHECKING:
    from cmil.task_validation import TaskValidation

_OF_A_CLASS = {
    "auc": "AUC against the rest (95% CI)",
    "sensitivity": "sensitivity",
    "ppv": "PPV",
}
_OF_ALL_CLASSES = {"accuracy": "accuracy (95% CI)", "balanced_accuracy": "balanced accuracy"}
_OF_ENDPOINT = {
    "concordance": "concordance (95% CI)",
    "auc": "AUC by horizon",
    "o_e": "observed : expected",
    "brier": "Brier",
}


def task_performance_table(performance: pd.DataFrame) -> str:
    """One line a cohort and class, and a cohort, with why numbers are missing or doubtful.

    Parameters
    ----------
    performance
        As `class_performance` or `endpoint_performance` gives it.
    """
    if "class" in performance:
        together = performance["class"] == ALL_CLASSES
        parts = [
            _measured(performance[~together], ["cohort", "class"], "patients", _OF_A_CLASS),
            _measured(performance[together], ["cohort"], "patients", _OF_ALL_CLASSES),
        ]
    else:
        parts = [_measured(performance, ["cohort"], "events", _OF_ENDPOINT)]  # of the whole time
    noted = performance[performance["note"] != ""].to_dict("records")
    whose = [", ".join(row[name] for name in ("cohort", "class") if name in row) for row in noted]
    notes = [f"{who}: {row['note']}" for who, row in zip(whose, noted, strict=True)]
    told = with_measures(notes, [row["measure"] for row in noted])
    return "\n".join(["\n\n".join(parts), *told])


def with_measures(notes: Sequence[str], measures: Sequence[str]) -> list[str]:
    """Give each different note once, and behind it the measures that it is of."""
    said: dict[str, list[str]] = {}
    for note, measure in zip(notes, measures, strict=True):
        said.setdefault(note, []).append(measure)
    return [f"{note} ({', '.join(of)})" for note, of in said.items()]


def task_validation_text(results: "TaskValidation") -> str:
    """Give performance and, of classes, who was called what in the widest cohort."""
    parts = [task_performance_table(results.performance)]
    if results.confusion is not None:
        cohort = results.confusion["cohort"].iloc[-1]
        here = results.confusion[results.confusion["cohort"] == cohort]
        counts = here.set_index(["class", "predicted_class"])["patients"].unstack(sort=False)
        parts.append(counts.rename_axis(index=f"{cohort}: class", columns="called").to_string())
    return "\n\n".join(parts)


def measured_text(measured: Mapping[Hashable, Any]) -> str:
    """Give a measure with its interval, counts before it; "-" where there is none."""
    if math.isnan(measured["value"]):
        return "-"
    interval = interval_text(measured["value"], measured["ci_low"], measured["ci_high"])
    counted = not math.isnan(measured.get("n", math.nan))
    return f"{measured['k']:.0f}/{measured['n']:.0f} {interval}" if counted else interval


def _measured(
    rows: pd.DataFrame, keys: Sequence[str], counted: str, shown: Mapping[str, str]
) -> str:
    """Give the measures of each cohort, or cohort and class, on a line."""
    lines = []
    for key, here in rows.groupby(list(keys), sort=False):
        of = here.set_index("measure").to_dict("index")
        line = dict(zip(keys, key, strict=True)) | {counted: here[counted].iloc[0]}
        lines.append(line | {title: measured_text(of[name]) for name, title in shown.items()})
    return pd.DataFrame(lines).to_string(index=False, justify="left")
