"""From a finished study to its lock, an external cohort, and a kit that an outside centre runs."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest


def only(manifest: Path, centre: str, into: Path) -> Path:
    """Write the manifest of one centre, as that centre would: no split, paths of its own."""
    table = pd.read_csv(manifest)
    table = table[table["centre"] == centre].drop(columns="split")
    if centre == "C":
        table = table.drop(columns=["os_months", "os_event"])
    table["path"] = [str(manifest.parent / path) for path in table["path"]]
    table.to_csv(into, index=False)
    return into


def test_study_is_locked_validated_and_run_at_two_outside_centres(
    finished_study, cmil, cmil_here, tmp_path
) -> None:
    study, finished = finished_study
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    together = pd.read_csv(out / "predictions.csv").set_index("patient_id")["score"]
    locked = cmil_here("lock", study.settings, "--out", out)
    assert locked.returncode == 0, locked.stderr
    digest = re.search(r"[0-9a-f]{64}", locked.stdout)[0]
    assert digest in cmil_here("lock", study.settings, "--out", out).stdout

    manifests = {c: only(study.manifest, c, tmp_path / f"{c}.csv") for c in ("B", "C")}
    model = ["--model", out / "model"]
    wrong = pd.read_csv(manifests["B"])
    wrong.loc[0, "os_months"] = -1
    wrong.to_csv(tmp_path / "wrong.csv", index=False)
    refused = cmil_here(
        "validate", *model, "--cohort", tmp_path / "wrong.csv", "--out", tmp_path / "no"
    )
    assert refused.returncode == 1 and "os_months" in refused.stderr, refused.stderr
    (own,) = (out / "model" / "openings.jsonl").read_text().splitlines()
    assert json.loads(own)["action"] == "study" and json.loads(own)["centres"] == {"B": 6, "C": 6}
    there = tmp_path / "external"
    options = [*model, "--cohort", manifests["B"], "--out", there, "--threads", 1]
    done = cmil_here("validate", *options, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["performance"][0]["patients"] == 6
    # The study has evaluated its own external patients before it was locked.
    assert f"opening 2, lock {digest}" in done.stderr
    assert "not the first look at external patients" in done.stderr
    alone = pd.read_csv(there / "predictions.csv").set_index("patient_id")["score"]
    pd.testing.assert_series_equal(alone, together[alone.index], atol=1e-6)
    cutpoints = [folder / "survival" / "cutpoint.json" for folder in (there, out)]
    assert cutpoints[0].read_bytes() == cutpoints[1].read_bytes()
    recalibrated = cmil_here("recalibrate", "--out", there, *model)
    assert recalibrated.returncode == 0 and "fewer than 5" in recalibrated.stdout
    reported = cmil_here("report", *model, "--cohort", manifests["B"], "--out", there)
    assert reported.returncode == 0, reported.stderr
    page = (there / "report" / "report.html").read_text(encoding="utf-8")
    assert "Survival, overall survival" in page and digest[:12] in page
    assert "evaluated 2 times with this model, once before a lock" in page
    without = tmp_path / "without endpoints"
    done = cmil_here(
        "validate", *model, "--cohort", manifests["C"], "--out", without, "--threads", 1
    )
    assert done.returncode == 0 and "survival is left without" in done.stderr, done.stderr
    reported = cmil_here("report", *model, "--cohort", manifests["C"], "--out", without)
    assert reported.returncode == 0, reported.stderr

    kit = tmp_path / "kit.zip"
    built = cmil_here("kit", "build", *model, "--out", kit)
    assert built.returncode == 0 and "wheels of what cMIL depends on" in built.stdout
    files = []
    for centre, sharing in (("B", []), ("C", ["--aggregates-only"])):
        own = tmp_path / f"at {centre}"
        done = cmil("kit", "run", kit, manifests[centre], "--out", own, "--threads", 1, *sharing)
        assert done.returncode == 0, done.stderr
        assert digest in done.stdout
        files.append(own / "results.json")
    sent = json.loads(files[0].read_text())["patients"]
    assert sorted(row["score"] for row in sent) == pytest.approx(sorted(alone), abs=1e-12)
    collected = cmil_here("kit", "collect", *files, *model, "--out", tmp_path / "all", "--json")
    assert collected.returncode == 0, collected.stderr
    centres = json.loads(collected.stdout)["centres"]
    assert [(c["centre"], c["patients"], c["positives"]) for c in centres] == [
        ("B", 6, 3),
        ("C", 6, None),
    ]
    twice = cmil_here("kit", "collect", files[0], files[0], *model, "--out", tmp_path / "all")
    assert twice.returncode == 1 and "counted once" in twice.stderr
