"""The report of an external cohort that was opened under a lock, through the command line."""

from pathlib import Path

import pandas as pd
import pytest
from pypdf import PdfReader

from cmil.protocol.lock import read_lock
from cmil.protocol.recalibration import recalibrate_external


@pytest.fixture
def opened(model, external, patients, command, tmp_path) -> tuple[list[object], Path]:
    """Options that name the opening, and its folder; bags lie elsewhere."""
    manifest, out = external(patients), tmp_path / "opened"
    options = ["--model", model, "--cohort", manifest, "--out", out]
    code, said = command("validate", *options, "--bags", manifest.parent / "bags")
    assert code == 0, said
    return options, out


def test_opening_has_page_pdf_tables_figures_and_checklists(opened, model, command) -> None:
    options, out = opened
    code, said = command("report", *options)
    assert code == 0, said
    page = (out / "report" / "report.html").read_text(encoding="utf-8")
    figures = sorted((out / "report" / "figures").glob("*.svg"))
    # The page draws its figures in place; the digest stands below each.
    assert page.count(f"lock {read_lock(model).digest[:12]}") >= len(figures) > 0
    assert "developed in 18 other patients and locked" in page
    assert "bags were made elsewhere" in page and "Sources read" not in page
    flow = pd.read_csv(out / "report" / "tables" / "flow.csv")
    assert list(flow["analysed"]) == [12, 3] and set(flow["split"]) == {"external"}
    assert PdfReader(out / "report" / "report.pdf").pages
    assert (out / "report" / "checklist-tripod-ai.yaml").exists()
    assert (out / "report" / "checklist-stard-ai.yaml").exists()


def test_report_is_of_the_cohort_that_was_opened(opened, command, tmp_path) -> None:
    options, out = opened
    manifest = Path(options[3])
    table = pd.read_csv(manifest)
    table["label"] = 1 - table["label"]
    table.to_csv(manifest, index=False)
    code, said = command("report", *options)
    assert code == 1 and "names other patients, labels or slides than the cohort" in said
    scores = out / "predictions.csv"
    scores.write_text(scores.read_text() + "\n")
    code, said = command("report", *options)
    assert code == 1 and "was changed since it was validated; run cmil validate" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["study.toml", "--model", "m", "--cohort", "c"], "drop the study file"),
        (["--model", "m"], "add --cohort"),
        ([], "name a STUDY.toml, or --model and --cohort"),
    ],
)
def test_report_is_of_a_study_or_of_an_opening(command, tmp_path, options, says: str) -> None:
    code, said = command("report", *options, "--out", tmp_path)
    assert code == 1 and says in said and said.startswith("error: ")


def test_centre_with_one_label_has_a_report(model, external, patients, command, tmp_path) -> None:
    manifest, out = external(patients[patients["centre"] == "Trento"]), tmp_path / "opened"
    options = ["--model", model, "--cohort", manifest, "--out", out]
    code, said = command("validate", *options, "--bags", manifest.parent / "bags")
    assert code == 0 and "Trento" in said
    code, said = command("report", *options)
    assert code == 0, said
    page = (out / "report" / "report.html").read_text(encoding="utf-8")
    assert "one label only: not estimable" in page


def test_entry_and_recalibration_stand_in_the_report(opened, model, command) -> None:
    options, out = opened
    assert command("report", *options)[0] == 0
    page = (out / "report" / "report.html").read_text(encoding="utf-8")
    card = (out / "report" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "recalibration on a centre" not in page
    for text in (page, card):
        assert "The evaluation reported here is the first (entry 1 of the log" in text

    table = recalibrate_external(model, out)
    assert command("report", *options)[0] == 0
    page = (out / "report" / "report.html").read_text(encoding="utf-8")
    written = pd.read_csv(out / "report" / "tables" / "recalibration.csv")
    assert "What recalibration on a centre" in page
    pd.testing.assert_series_equal(written["brier"], table["brier"], rtol=1e-12)


def test_recalibration_of_other_scores_is_not_reported(opened, model, command, tmp_path) -> None:
    options, out = opened
    recalibrate_external(model, out)
    bags = Path(options[3]).parent / "bags"
    again = ["--bags", bags, "--predictions", tmp_path / "scores.csv"]
    scores = pd.read_csv(out / "predictions.csv", float_precision="round_trip")
    scores.iloc[1:].to_csv(tmp_path / "scores.csv", index=False)
    code, said = command("validate", *options, *again)
    assert code == 0, said
    assert command("report", *options)[0] == 0
    page = (out / "report" / "report.html").read_text(encoding="utf-8")
    assert "What recalibration on a centre" not in page
