"""The card says what the tables say, and no name in it is more than text."""

import dataclasses

import pandas as pd
import pytest

from cmil.reporting.facts import study_facts
from cmil.reporting.study_files import StudyFiles
from cmil.reporting.validated_card import validated_card
from survival.print_numbers import interval_text

TITLES = (
    *("Intended use", "Training data", "Validated performance", "Calibration", "Thresholds"),
    *("Limitations", "Digests"),
)


@pytest.fixture
def card(study_files: StudyFiles) -> str:
    return validated_card(study_files, study_facts(study_files, "Said."), "Said.")


def rows_of(card: str, title: str) -> list[list[str]]:
    """Cells of the first table below a heading, without its head."""
    below = card.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in below.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_card_has_its_sections_in_order(card: str) -> None:
    places = [card.index(f"## {title}\n") for title in TITLES]
    assert places == sorted(places)
    assert "**Research use only.**" in card and "\n\n\n" not in card


def test_training_patients_are_counted_by_centre(card: str) -> None:
    assert rows_of(card, "Training data")[0] == ["Lund", "30", "15"]


def test_performance_and_calibration_of_every_cohort_are_those_of_the_tables(
    study_files: StudyFiles, card: str
) -> None:
    performance = study_files.validation.performance
    told = rows_of(card, "Validated performance")
    assert len(told) == len(performance) == 5
    for cells, row in zip(told, performance.itertuples(), strict=True):
        auc = interval_text(row.auc, row.auc_ci_low, row.auc_ci_high, form="z.3f")
        assert cells[1:4] == [str(row.patients), str(row.positives), auc]
    found = study_files.validation.tables.calibration
    slope = found[found["measure"] == "slope"]
    for cells, row in zip(rows_of(card, "Calibration"), slope.itertuples(), strict=True):
        assert cells[2] == interval_text(row.value, row.ci_low, row.ci_high, form="z.3f")
        assert all(cells)


def test_every_threshold_stands_with_what_it_does(card: str) -> None:
    rows = pd.DataFrame(rows_of(card, "Thresholds"))
    assert dict(zip(rows[0], rows[1], strict=True)) == {
        "youden": "0.5000",
        "sensitivity 0.95": "0.3000",
    }
    assert len(rows) == 10


def test_digests_are_whole(study_files: StudyFiles, card: str) -> None:
    digests = dict(rows_of(card, "Digests"))
    assert digests["model"] == study_files.bundle.digest
    assert digests["lock"] == study_files.lock
    assert digests["evaluated cohort"] == study_files.cohort.digest
    unlocked = dataclasses.replace(study_files, lock="")
    text = validated_card(unlocked, study_facts(unlocked, ""), "")
    assert dict(rows_of(text, "Digests"))["lock"] == "none: the model was not locked"


def test_names_are_text(study_files: StudyFiles) -> None:
    table = study_files.validation.performance.assign(cohort="<i>A|B</i> *c*")
    validation = dataclasses.replace(study_files.validation, performance=table)
    study = dataclasses.replace(study_files, validation=validation)
    card = validated_card(study, study_facts(study, ""), "")
    assert r"| \<i\>A\|B\</i\> \*c\* |" in card
