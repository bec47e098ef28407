"""How often external patients were looked at, and which look a report is of."""

from collections.abc import Sequence

import pandas as pd

from cmil.protocol.log import Entry
from cmil.reporting.contents import Table
from cmil.reporting.study_files import StudyFiles

_BY = {
    "study": "the study itself",
    "validate": "cmil validate --model",
    "recalibrate": "cmil recalibrate",
    "kit run": "cmil kit run",
}


def openings_text(study: StudyFiles) -> str:
    """Say how often external patients were evaluated, and which of these evaluations is reported.

    Returns
    -------
    A sentence or two; empty where the log has none.
    """
    evaluations = study.evaluations
    if not evaluations:
        return ""
    before = sum(not entry.lock for entry in evaluations)
    said = [f"External patients were evaluated {_times(len(evaluations))} with this model"]
    if before:
        said.append(f", {'that once' if len(evaluations) == 1 else _times(before)} before a lock")
    said.append(".")
    own = [n for n, entry in enumerate(evaluations, start=1) if entry.scores == study.scores_digest]
    if own:
        which = "the first" if own[0] == 1 else f"number {own[0]}, not the first look"
        entry = evaluations[own[0] - 1]
        said.append(
            f" The evaluation reported here is {which} (entry {entry.number} of the log, "
            f"{entry.digest})."
        )
    return "".join(said)


def openings_table(entries: Sequence[Entry]) -> Table:
    """List every entry of the log."""
    numbers = pd.DataFrame([entry.model_dump(mode="json") for entry in entries])
    shown = pd.DataFrame(
        {
            "Entry": [entry.number for entry in entries],
            "Time (UTC)": [entry.time for entry in entries],
            "By": [_BY[entry.action] for entry in entries],
            "Lock": [entry.lock[:12] or "not locked" for entry in entries],
            "Patients": [_patients(entry) for entry in entries],
            "Scores": [entry.scores[:12] for entry in entries],
        }
    )
    return Table("openings", "Every opening of external patients with this model.", numbers, shown)


def _patients(entry: Entry) -> str:
    return ", ".join(f"{name} {count}" for name, count in entry.centres.items())


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
