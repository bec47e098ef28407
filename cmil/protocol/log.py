"""A log of every opening of an external cohort, each entry chained to the one before it.

It begins with the model and not with its lock: a study whose own external patients are evaluated
before it is locked has looked at them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from cmil import __version__
from cohorts.errors import FileFormatError
from cohorts.files import digest_of, write_text

LOG = "openings.jsonl"

Action = Literal["study", "validate", "recalibrate", "kit run"]


class Entry(BaseModel):
    """One opening.

    Attributes
    ----------
    number
        From 1.
    time
        When, in UTC, to the second.
    action
        What was done; "study", that a study evaluated its own external patients.
    lock
        Digest of the lock it was done under; "" where the model was not locked yet.
    cohort
        Digest of the external cohort.
    centres
        centre -> patients with a score; null where the number is suppressed.
    scores
        Digest of the scores that were opened.
    software
        Release that wrote the entry.
    previous
        Digest of the entry before; of the first, of the lock, "" without one.
    digest
        Of all the above.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    time: str
    action: Action
    lock: str
    cohort: str
    centres: Mapping[str, int | None]
    scores: str
    software: str
    previous: str
    digest: str

    def is_sound(self) -> bool:
        """Whether the digest is that of the content."""
        return self.digest == digest_of(self.model_dump(mode="json", exclude={"digest"}))


def append_entry(
    path: Path,
    *,
    action: Action,
    lock: str,
    cohort: str,
    centres: Mapping[str, int | None],
    scores: str,
    at: datetime | None = None,
) -> Entry:
    """Add an opening to the log at `path`, which is begun if it is not there.

    One process at a time: the others wait. The log is written anew, whole or not at all.

    Parameters
    ----------
    at
        When; now, if not said.

    Raises
    ------
    FileFormatError
        If the log that is there was tampered with or is of another lock.
    """
    opened = _Opened(action, lock, cohort, centres, scores)
    with _held(path):
        return _append(path, opened, at)


def append_once(
    path: Path,
    *,
    action: Action,
    lock: str,
    cohort: str,
    centres: Mapping[str, int | None],
    scores: str,
) -> Entry:
    """Add an opening as `append_entry` does, unless the log has one of the same scores.

    Returns
    -------
    The entry that was added, or the one that was there.
    """
    opened = _Opened(action, lock, cohort, centres, scores)
    with _held(path):
        entries = read_log(path, lock) if path.exists() else ()
        known = [entry for entry in entries if entry.scores == scores]
        return known[0] if known else _append(path, opened, None)


class _Opened(NamedTuple):
    action: Action
    lock: str
    cohort: str
    centres: Mapping[str, int | None]
    scores: str


@contextmanager
def _held(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        yield


def _append(path: Path, opened: _Opened, at: datetime | None) -> Entry:
    entries = read_log(path, opened.lock) if path.exists() else ()
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    content = {
        "number": len(entries) + 1,
        "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        **opened._asdict(),
        "centres": dict(sorted(opened.centres.items())),
        "software": __version__,
        "previous": entries[-1].digest if entries else opened.lock,
    }
    entry = Entry.model_validate({**content, "digest": digest_of(content)})
    write_text(path, log_text((*entries, entry)))
    return entry


def read_log(path: Path, lock: str) -> tuple[Entry, ...]:
    """Read a log and follow its chain from the first entry to the last.

    Entries without a lock come before those of the lock.

    A log that was cut at its end is whole in itself: what was reported states number and digest of
    its entry, by which `refuse_shortened` finds the cut.

    Raises
    ------
    FileFormatError
        If an entry was changed, removed, put in or moved, or is of another lock; the line names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FileFormatError(f'log "{path}" does not exist; restore it') from error
    except UnicodeDecodeError as error:
        raise FileFormatError(f'log "{path}" is not UTF-8 text; restore it') from error
    return parse_log(text, lock, f'"{path}"')


def parse_log(text: str, lock: str, name: str) -> tuple[Entry, ...]:
    """Read the text of a log as `read_log` reads the file; `name` is what errors call it."""
    entries: list[Entry] = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError as error:
            raise FileFormatError(f"log {name}: entry {number} is damaged; restore it") from error
        locked = bool(entries and entries[-1].lock)
        if entry.lock != lock and (locked or entry.lock):
            raise FileFormatError(
                f"log {name}: entry {number} is of another lock; restore the lock, or use a new "
                "output folder"
            )
        if not entry.is_sound() or _line(entry) != line:
            raise FileFormatError(f"log {name}: entry {number} was changed; restore the log")
        previous = entries[-1].digest if entries else entry.lock
        if entry.number != number or entry.previous != previous:
            raise FileFormatError(
                f"log {name}: entry {number} does not follow the one before it: entries were "
                "removed, put in or moved; restore the log"
            )
        entries.append(entry)
    if text and not text.endswith("\n"):
        raise FileFormatError(f"log {name}: its last entry is cut short; restore it")
    return tuple(entries)


def refuse_shortened(entries: Sequence[Entry], number: int, digest: str, name: str) -> None:
    """Refuse a log without the entry that a result states.

    Raises
    ------
    FileFormatError
        If entry `number` is missing or has another digest.
    """
    if number < 1 or len(entries) < number or entries[number - 1].digest != digest:
        raise FileFormatError(
            f"log {name} lacks entry {number}, which was reported: it was cut short or begun anew"
        )


def log_text(entries: Sequence[Entry]) -> str:
    """Give the text of a log, one entry a line."""
    return "".join(_line(entry) + "\n" for entry in entries)


def _line(entry: Entry) -> str:
    return json.dumps(entry.model_dump(mode="json"), ensure_ascii=True)
