"""Studies of classes and of an endpoint, from images to pictures."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest


def with_settings(study, added: dict[str, str]) -> Path:
    text = study.settings.read_text()
    for table, lines in added.items():
        text = text.replace(f"[{table}]\n", f"[{table}]\n{lines}\n")
    study.settings.write_text(text)
    return study.settings


def of_classes(study, *named: str) -> Path:
    """Give a third of the patients each of the first three classes."""
    manifest = pd.read_csv(study.manifest, dtype=str)
    manifest["metastasis"] = [named[i % 3] for i in range(len(manifest))]
    manifest.to_csv(study.manifest, index=False)
    classes = f"classes = {list(named)}".replace("'", '"')
    return with_settings(study, {"cohort": classes, "mil": 'task = "classes"'})


def test_a_study_of_an_endpoint_ends_in_risks_and_pictures(
    small_study, cmil: Callable, tmp_path: Path
) -> None:
    manifest = pd.read_csv(small_study.manifest, dtype=str)
    manifest["os_event"] = [str(int(i % 3 > 0)) for i in range(len(manifest))]
    manifest.to_csv(small_study.manifest, index=False)
    learnt = 'task = "survival"\nendpoint = "overall survival"\nhorizon = 36.0'
    settings = with_settings(small_study, {"mil": learnt})
    settings.write_text(settings.read_text().replace('label = "metastasis"', 'label = ""'))
    done = cmil("run", settings, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table["score"].between(0, 1).all()
    assert table["score"].nunique() > 12
    assert len(list((tmp_path / "out" / "heatmaps").glob("*.png"))) == len(table) == 24
    assert "compared in external, pooled concordance (95% CI)" in done.stdout
    assert "8 patients with the event, fewer than 10: intervals are too short" in done.stdout
    again = cmil("compare", settings, "--out", tmp_path / "out", "--json")
    assert again.returncode == 0, again.stderr
    names = ["gated_attention", "mean and SD of embeddings", "bag size", "centre", "covariates"]
    rows = [row for row in json.loads(again.stdout) if row["cohort"] == "external, pooled"]
    assert [row["model"] for row in rows] == names
    assert all(row["measure"] == "concordance" and row["value"] for row in rows)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Research use only" in page and "Does the map tell the truth?" in page
    assert "probability of an event of overall survival by 36" in page
    for patient_id, months in zip(manifest["patient_id"], manifest["os_months"], strict=True):
        assert f">{patient_id}</h3>" in page and f" {float(months):g} " in page
    assert "is not shown to be better than centre alone (concordance 0.500)" in page
    assert "The risk against what happened" in page
    validated = cmil("validate", settings, "--out", tmp_path / "out", "--json")
    assert validated.returncode == 0 and "validate: up to date" in validated.stderr
    measures = pd.DataFrame(json.loads(validated.stdout)["performance"])
    assert set(measures["cohort"]) == {"development (out-of-fold)", "B", "C", "external, pooled"}
    ours = measures[measures["measure"] == "concordance"].set_index("cohort")["value"]
    assert ours["external, pooled"] == pytest.approx(rows[0]["value"])


def test_a_study_of_classes_scores_each_of_them(
    small_study, scores_only: Callable, cmil: Callable, tmp_path: Path
) -> None:
    of_classes(small_study, "none", "few", "many")
    done = cmil("run", scores_only(small_study), "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    scores = table[["score_none", "score_few", "score_many"]]
    assert scores.sum(axis=1).to_numpy() == pytest.approx(1)
    assert "compared in external, pooled mean AUC of the classes (95% CI)" in done.stdout
    assert "4 patients of a class, fewer than 5: not estimable" in done.stdout
    assert "insertion_gain" in done.stdout
    page = (tmp_path / "out" / "index.html").read_text()
    assert "probability of the class &#34;many&#34;" in page
    assert "4 patients of a class, fewer than 5: not estimable" in page
    assert "Class by class" in page and "Called few" in page
    called = pd.read_csv(tmp_path / "out" / "validation" / "confusion.csv")
    everybody = called[called["cohort"].str.contains("development|pooled")]
    assert everybody["patients"].sum() == len(table) == 24


def test_a_class_of_nobody_is_refused_before_any_image_is_read(
    small_study, cmil_here: Callable, tmp_path: Path
) -> None:
    settings = of_classes(small_study, "none", "few", "many", "all")
    refused = cmil_here("run", settings, "--out", tmp_path / "out")
    assert refused.returncode == 1
    assert 'no development patient is of class "all"; take it out' in refused.stderr
    assert not (tmp_path / "out" / "bags").exists()


def test_too_few_patients_for_a_search_are_refused_before_any_image_is_read(
    small_study, cmil_here: Callable, tmp_path: Path
) -> None:
    settings = with_settings(small_study, {"mil": "search_folds = 5"})
    settings.write_text(settings.read_text() + "\n[mil.search]\ndropout = [0.0, 0.5]\n")
    refused = cmil_here("run", settings, "--out", tmp_path / "out")
    assert refused.returncode == 1
    assert "model 1 are too few for search_folds = 5" in refused.stderr
    assert not (tmp_path / "out" / "bags").exists()
