"""The report of an external cohort that was opened under a lock, from the files of the opening."""

from pathlib import Path

import pandas as pd
import pytest

from cmil.cli import main
from cmil.protocol.freeze import lock_study
from cmil.protocol.opening import validate_external
from cmil.protocol.recalibration import recalibrate_external


@pytest.fixture
def opened(copied_study, write_toy, toy_patients, tmp_path) -> tuple[Path, Path, Path]:
    """Model, manifest and results of twelve patients of an external centre."""
    lock_study(copied_study)
    patients = toy_patients(0, 12).assign(patient_id=[f"X{i:02d}" for i in range(12)])
    folder, out = tmp_path / "centre", tmp_path / "opened"
    write_toy(folder, patients, slides=1, seed=4)
    manifest = folder / "cohort.csv"
    validate_external(copied_study.model, manifest, out, bags=folder / "bags")
    return copied_study.model, manifest, out


def report(monkeypatch, opened: tuple[Path, Path, Path]) -> int:
    model, manifest, out = opened
    options = ["--model", model, "--cohort", manifest, "--out", out]
    options += ["--bags", manifest.parent / "bags"]
    monkeypatch.setattr("sys.argv", ["cmil", "report", *map(str, options)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_opened_cohort_is_reported_with_its_entry_and_recalibration(opened, monkeypatch) -> None:
    model, _, out = opened
    assert report(monkeypatch, opened) == 0
    page = (out / "report" / "report.html").read_text(encoding="utf-8")
    card = (out / "report" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Entry 1 of the log of openings" in page and "recalibration on a centre" not in page
    for text in (page, card):
        assert "Research use only" in text and "in 12 patients" in text

    table = recalibrate_external(model, out)
    assert report(monkeypatch, opened) == 0
    page = (out / "report" / "report.html").read_text(encoding="utf-8")
    written = pd.read_csv(out / "report" / "tables" / "recalibration.csv")
    assert "What recalibration on a centre" in page
    pd.testing.assert_series_equal(written["brier"], table["brier"], rtol=1e-12)


def test_another_manifest_is_refused(opened, monkeypatch, capsys) -> None:
    _, manifest, out = opened
    table = pd.read_csv(manifest)
    table[table["patient_id"] != table["patient_id"].iloc[0]].to_csv(manifest, index=False)
    capsys.readouterr()
    assert report(monkeypatch, opened) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: "cohort.csv" is another cohort than the one opened in')
    assert not (out / "report").exists()
