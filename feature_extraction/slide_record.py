"""What became of each slide: one small file a slide, and a table of them all."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
from filelock import FileLock

from cohorts.errors import FileFormatError
from cohorts.files import read_json, remove_unfinished, write_json, write_text
from cohorts.manifest import Slide

State = Literal["waiting", "made", "reused", "refiltered", "duplicate", "failed"]


@dataclass(frozen=True)
class SlideOutcome:
    """What became of one slide.

    Attributes
    ----------
    state
        "reused": its bag was up to date; "refiltered": another rule was applied to its bag;
        "duplicate": all its images came before in the same patient; "waiting": not tried yet.
    patches, dropped
        Patches the rule kept and dropped.
    duplicates
        Images left out because they came before in the same patient.
    reason
        Why it failed.
    note
        Why a bag was made again.
    """

    slide_id: str
    patient_id: str
    state: State = "waiting"
    patches: int = 0
    dropped: int = 0
    duplicates: int = 0
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class SlideRecord:
    """The outcome of the last attempt at a slide, and what spares work on the next.

    Attributes
    ----------
    attempts, seconds
        How often its bag was made or failed, and how long the last attempt took.
    recipe
        Digest of the recipe of the last attempt; a failure of another recipe is none of this.
    lasting
        Whether the failure was one of the images, which the next attempt will meet again.
    files
        `stat` and `digests` of the source.
    """

    outcome: SlideOutcome
    attempts: int = 0
    seconds: float = 0.0
    recipe: str = ""
    lasting: bool = False
    files: Mapping[str, Any] = field(default_factory=dict)


def record_path(folder: Path, slide_id: str) -> Path:
    """Where the record of a slide lies, in the folder of the bags."""
    return folder / "state" / f"{slide_id}.json"


def read_record(folder: Path, slide: Slide) -> SlideRecord:
    """Read the record of a slide; an empty one if there is none, or it is damaged.

    A record only saves work: without it the slide is looked at afresh.
    """
    empty = SlideRecord(SlideOutcome(slide.slide_id, slide.patient_id))
    try:
        content = read_json(record_path(folder, slide.slide_id))
        known = {name: content[name] for name in (f.name for f in fields(SlideOutcome))}
        rest = {f.name: content[f.name] for f in fields(SlideRecord) if f.name != "outcome"}
    except (FileFormatError, KeyError, TypeError):
        return empty
    found = SlideRecord(SlideOutcome(**known), **rest)
    if not _as_typed(found) or found.outcome.patient_id != slide.patient_id:
        return empty
    return found


def _as_typed(record: SlideRecord) -> bool:
    outcome = record.outcome
    texts = (outcome.slide_id, outcome.patient_id, outcome.reason, outcome.note, record.recipe)
    counts = (outcome.patches, outcome.dropped, outcome.duplicates, record.attempts)
    digests = record.files.get("digests", []) if isinstance(record.files, dict) else None
    return (
        all(isinstance(text, str) for text in texts)
        and all(type(count) is int and count >= 0 for count in counts)
        and isinstance(record.seconds, int | float)
        and isinstance(record.lasting, bool)
        and outcome.state in get_args(State)
        and isinstance(digests, list)
        and all(isinstance(digest, str) for digest in digests)
    )


def write_record(folder: Path, record: SlideRecord) -> None:
    """Write the record of a slide."""
    content = asdict(record)
    outcome = content.pop("outcome")
    write_json(record_path(folder, record.outcome.slide_id), {**outcome, **content})


def write_slide_table(folder: Path, slides: Sequence[Slide]) -> None:
    """Write `slides.csv`: what became of each slide, those of other processes included."""
    path = folder / "slides.csv"
    (folder / "state").mkdir(parents=True, exist_ok=True)
    # Of two that end together, the later one must have read what the earlier one did.
    with FileLock(folder / "state" / "slides.csv.lock"):
        remove_unfinished(path)
        records = [read_record(folder, slide) for slide in slides]
        table = pd.DataFrame(
            [{**asdict(r.outcome), "attempts": r.attempts, "seconds": r.seconds} for r in records]
        )
        columns = [name for name in table.columns if name not in {"reason", "note"}]
        write_text(path, table[[*columns, "reason", "note"]].to_csv(index=False))
