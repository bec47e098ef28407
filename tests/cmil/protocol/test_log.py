"""The log of openings: an entry that is changed, removed or moved is found."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from cmil.protocol.log import (
    Entry,
    append_entry,
    append_once,
    parse_log,
    read_log,
    refuse_shortened,
)
from cohorts.errors import FileFormatError
from cohorts.files import digest_of

LOCK = "a" * 64


def append(path: Path, number: int) -> Entry:
    return append_entry(
        path,
        action="validate",
        lock=LOCK,
        cohort=f"{number:064d}",
        centres={"Oslo": number, "Bern": None},
        scores="c" * 64,
        at=datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(hours=number),
    )


@pytest.fixture
def log(tmp_path) -> Path:
    for number in range(5):
        append(tmp_path / "openings.jsonl", number)
    return tmp_path / "openings.jsonl"


def test_entries_are_chained_to_the_lock_and_to_each_other(log) -> None:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[0]["previous"] == LOCK
    assert [line["previous"] for line in lines[1:]] == [line["digest"] for line in lines[:-1]]
    content = {name: value for name, value in lines[2].items() if name != "digest"}
    assert lines[2]["digest"] == digest_of(content)
    assert lines[2]["time"] == "2026-01-01T14:00:00Z"
    assert [entry.number for entry in read_log(log, LOCK)] == [1, 2, 3, 4, 5]


def test_any_changed_byte_is_found(log) -> None:
    whole = log.read_bytes()
    for place in range(len(whole)):
        changed = whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
        with pytest.raises(FileFormatError):
            parse_log(changed.decode(), LOCK, "log")


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ([0, 1, 3, 4], "entry 3 does not follow"),
        ([1, 2, 3, 4], "entry 1 does not follow"),
        ([0, 2, 1, 3, 4], "entry 2 does not follow"),
        ([0, 1, 1, 2, 3, 4], "entry 3 does not follow"),
    ],
)
def test_removed_moved_and_repeated_entries_are_found(log, order: list[int], says: str) -> None:
    lines = log.read_text().splitlines()
    log.write_text("".join(f"{lines[i]}\n" for i in order))
    with pytest.raises(FileFormatError, match=says):
        read_log(log, LOCK)
    with pytest.raises(FileFormatError, match=says):
        append(log, 9)


def test_entry_rewritten_with_its_digest_breaks_the_next(log) -> None:
    lines = log.read_text().splitlines()
    content = json.loads(lines[1])
    del content["digest"]
    content["centres"] = {"Bern": None, "Oslo": 2}
    lines[1] = json.dumps({**content, "digest": digest_of(content)})
    log.write_text("\n".join(lines) + "\n")
    with pytest.raises(FileFormatError, match="entry 3 does not follow"):
        read_log(log, LOCK)


def test_cut_at_the_end_is_found_by_what_was_reported(log) -> None:
    last = read_log(log, LOCK)[-1]
    refuse_shortened(read_log(log, LOCK), last.number, last.digest, "log")
    log.write_text("".join(f"{line}\n" for line in log.read_text().splitlines()[:-1]))
    with pytest.raises(FileFormatError, match="lacks entry 5"):
        refuse_shortened(read_log(log, LOCK), last.number, last.digest, "log")


def test_log_of_another_lock_is_refused(log) -> None:
    with pytest.raises(FileFormatError, match="of another lock"):
        read_log(log, "b" * 64)


def test_time_is_utc_wherever_it_was_written(tmp_path) -> None:
    at = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=3)))
    entry = append_entry(
        tmp_path / "log",
        action="validate",
        lock=LOCK,
        cohort="b",
        centres={},
        scores="c",
        at=at,
    )
    assert entry.time == "2025-12-31T22:00:00Z"


def test_two_processes_at_once_lose_no_entry(tmp_path) -> None:
    path = tmp_path / "openings.jsonl"
    code = (
        "import sys\nfrom pathlib import Path\nfrom cmil.protocol.log import append_entry\n"
        "for _ in range(15):\n"
        "    append_entry(Path(sys.argv[1]), action='validate', lock='a' * 64, cohort='b',"
        " centres={}, scores='c')\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0]
    assert len(read_log(path, LOCK)) == 45


@pytest.fixture
def begun(tmp_path) -> Path:
    """Twice evaluated by the study before it was locked, then opened under the lock."""
    path = tmp_path / "begun.jsonl"
    for lock, scores in (("", "1"), ("", "2"), (LOCK, "3")):
        append_entry(path, action="study", lock=lock, cohort="b", centres={}, scores=scores)
    return path


def test_log_begins_before_the_lock(begun) -> None:
    entries = read_log(begun, LOCK)
    assert [entry.lock for entry in entries] == ["", "", LOCK]
    assert [entry.previous for entry in entries] == ["", *(e.digest for e in entries[:2])]
    lines = begun.read_text().splitlines(keepends=True)
    for kept in (lines[1:], [lines[0], lines[2]], [lines[2]]):
        with pytest.raises(FileFormatError, match="does not follow"):
            parse_log("".join(kept), LOCK, "log")


def test_nothing_goes_unlocked_after_the_lock(begun) -> None:
    with pytest.raises(FileFormatError, match="entry 3 is of another lock; restore the lock"):
        append_entry(begun, action="study", lock="", cohort="b", centres={}, scores="4")
    unlocked = {**read_log(begun, LOCK)[0].model_dump(mode="json"), "number": 4}
    unlocked["previous"] = read_log(begun, LOCK)[2].digest
    del unlocked["digest"]
    line = json.dumps({**unlocked, "digest": digest_of(unlocked)})
    with pytest.raises(FileFormatError, match="entry 4 is of another lock"):
        parse_log(begun.read_text() + line + "\n", LOCK, "log")


def test_scores_that_are_there_are_not_logged_again(begun) -> None:
    opening = {"action": "study", "lock": LOCK, "cohort": "b", "centres": {}}
    assert append_once(begun, **opening, scores="2").number == 2
    assert append_once(begun, **opening, scores="4").number == 4
    assert len(read_log(begun, LOCK)) == 4
