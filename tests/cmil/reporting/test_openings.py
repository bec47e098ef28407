"""The report says how often external patients were evaluated, and which time it is of."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmil.protocol.log import append_entry, read_log
from cmil.reporting.facts import study_facts
from cmil.reporting.openings import openings_table, openings_text
from cmil.reporting.patient_sections import model_section
from cmil.reporting.study_files import StudyFiles


@pytest.fixture
def opened(study_files: StudyFiles, tmp_path: Path) -> StudyFiles:
    """Evaluated by the study before its lock, then under it, then recalibrated."""
    path = tmp_path / "openings.jsonl"
    for action, lock, scores in (
        ("study", "", "a" * 64),
        ("validate", study_files.lock, "b" * 64),
        ("recalibrate", study_files.lock, "b" * 64),
    ):
        append_entry(
            path,
            action=action,
            lock=lock,
            cohort="c" * 64,
            centres={"Oslo": 30},
            scores=scores,
            at=datetime(2026, 1, 2, tzinfo=UTC),
        )
    log = read_log(path, study_files.lock)
    return dataclasses.replace(study_files, openings=log, scores_digest="b" * 64)


def test_second_look_is_not_presented_as_the_first(opened: StudyFiles) -> None:
    text = openings_text(opened)
    assert text.startswith("External patients were evaluated 2 times with this model, once before")
    entry = f"entry 2 of the log, {opened.openings[1].digest}"
    assert f"is number 2, not the first look ({entry})" in text
    facts = study_facts(opened, "")
    assert facts["openings"] == text
    assert "evaluated 2 times: what was chosen after the first" in facts["limitations"]
    shown = next(part for part in model_section(opened, facts).parts if part.name == "openings")
    assert list(shown.shown["By"]) == [
        *("the study itself", "cmil validate --model", "cmil recalibrate"),
    ]
    assert list(shown.shown["Lock"]) == ["not locked", *[opened.lock[:12]] * 2]


def test_only_look_is_the_first(opened: StudyFiles) -> None:
    once = dataclasses.replace(opened, openings=opened.openings[:1], scores_digest="a" * 64)
    text = openings_text(once)
    assert "evaluated once with this model, that once before a lock." in text
    assert "is the first (entry 1" in text
    assert "chosen after" not in study_facts(once, "")["limitations"]
    assert list(openings_table(once.openings).numbers["centres"]) == [{"Oslo": 30}]


def test_without_a_log_nothing_is_said(study_files: StudyFiles) -> None:
    assert openings_text(study_files) == "" and "openings" not in study_facts(study_files, "")
