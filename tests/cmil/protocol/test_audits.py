"""Audits: each fault planted in a study is found at its level, and a clean study is let go on."""

import shutil

import numpy as np
import pandas as pd
import pytest

from cmil.cli import main
from cmil.protocol.audit_page import findings_text, write_audit
from cmil.protocol.audits import audit_study
from cmil.protocol.cohort_audits import audit_follow_up, audit_ids, audit_labels, audit_missing
from cmil.study import Study
from cmil.study_settings import read_study_settings
from cohorts.endpoints import Endpoint
from cohorts.manifest import read_cohort
from cohorts.settings import CohortSettings
from feature_extraction.background_colour import background_colour

MONTHS = Endpoint(time="time", event="event", unit="months")


def cohort_of(**columns: object) -> pd.DataFrame:
    table = pd.DataFrame(columns)
    return table.set_index(pd.Index([f"P{i}" for i in range(len(table))], name="patient_id"))


def levels(findings, audit: str) -> list[str]:
    return [finding.level for finding in findings if finding.audit == audit]


def test_ids_that_are_nearly_one_across_splits_are_a_warning() -> None:
    patients = cohort_of(centre="A", split=["development", "external", "external"])
    patients.index = ["KI-007", "ki 7", "KI-70"]
    (finding,) = audit_ids(patients)
    assert finding.level == "warning" and '"KI-007", "ki 7"' in finding.says
    assert audit_ids(patients.iloc[1:])[0].level == "note"


@pytest.mark.parametrize(
    ("labels", "level"),
    [
        ([1] * 20 + [0] * 20, "blocking"),
        ([1] * 15 + [0] * 5 + [1] * 5 + [0] * 15, "warning"),
        ([0, 1] * 20, "note"),
    ],
)
def test_label_that_goes_with_the_centre(labels: list[int], level: str) -> None:
    patients = cohort_of(centre=["A"] * 20 + ["B"] * 20, split="development", label=labels)
    findings, table = audit_labels(patients)
    assert [finding.level for finding in findings] == [level]
    assert table.loc[0, "centres"] == 2


def test_external_centre_with_one_label_is_a_warning() -> None:
    patients = cohort_of(
        centre=["A"] * 20 + ["B"] * 10, split="external", label=[0, 1] * 10 + [0] * 10
    )
    findings, _ = audit_labels(patients)
    assert 'external centres "B" have one label only' in findings[0].says


def test_missing_values_are_counted_by_centre() -> None:
    ages = [1.0] * 10 + [np.nan] * 3 + [1.0] * 7
    patients = cohort_of(
        centre=["A"] * 10 + ["B"] * 10, split="development", label=[0, 1] * 10, age=ages
    )
    findings, table = audit_missing(patients)
    assert [f.level for f in findings] == ["warning"] and "3 of 10 patients of B" in findings[
        0
    ].says
    assert table.set_index("centre")["missing"].to_dict() == {"A": 0, "B": 3}
    assert audit_missing(patients.drop(columns="age"))[0][0].level == "note"


def test_follow_up_that_differs_between_centres_is_a_warning() -> None:
    rng = np.random.default_rng(0)
    time = np.concatenate([rng.uniform(50, 70, 40), rng.uniform(5, 15, 40)])
    patients = cohort_of(
        centre=["A"] * 40 + ["B"] * 40, split="development", time=time, event=[1, 0, 0, 0] * 20
    )
    findings, table = audit_follow_up(patients, {"death": MONTHS})
    assert [f.level for f in findings] == ["warning"] and "differ beyond chance" in findings[0].says
    assert list(table["events"]) == [10, 10]
    few = audit_follow_up(patients.assign(event=0.0), {"death": MONTHS})[0]
    assert "0 events" in few[0].says


def test_study_with_bags_is_audited_without_looking_at_images(toy_study, tmp_path) -> None:
    found = audit_study(toy_study, images=False)
    assert not found.blocking
    assert levels(found.findings, "copies") == ["warning"]
    (row,) = found.centres.to_dict("records")
    assert row["inputs"] == "mean embedding" and row["centres"] == 3
    page = write_audit(found, tmp_path, "Toy <study>").read_text()
    assert "Toy &lt;study&gt;" in page and "Nothing blocks" in page
    assert {p.name for p in tmp_path.glob("*.csv")} == {
        *("findings.csv", "labels.csv", "centres.csv", "missing.csv", "follow_up.csv"),
    }
    assert findings_text(found).endswith("Nothing blocks.")


def test_the_same_image_in_two_patients_blocks(small_study, monkeypatch, capsys) -> None:
    copied = small_study.images_of("A03")[1]
    shutil.copy(copied, small_study.images_of("B02")[0].parent / "field 9.png")
    out = small_study.folder / "out"
    arguments = ["cmil", "audit", str(small_study.settings), "--out", str(out)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert any(
        line.startswith("error: the same image in patients") and "one in development" in line
        for line in said.err.splitlines()
    )
    assert "Mend what blocks" in (out / "audit" / "audit.html").read_text()
    assert "colour of the glass alone" in (out / "audit" / "centres.csv").read_text()


def test_clean_study_before_extraction_is_let_go_on(small_study) -> None:
    settings = read_study_settings(small_study.settings)
    found = audit_study(Study.at(small_study.folder / "out", settings), images=True)
    assert not found.blocking
    assert levels(found.findings, "copies") == ["note"]
    assert not found.missing["missing"].any()


def test_colour_of_the_glass_is_that_of_the_pale_ground(small_study) -> None:
    cohort = read_cohort(CohortSettings(manifest=small_study.manifest, label="metastasis"))
    # Drawn at (232, 226, 236) with noise of 3; its 98th percentile lies two noises above.
    colour = background_colour(cohort.slides[0])
    assert np.abs(colour - np.array([236, 230, 240])).max() < 4
