"""A study of classes or of an endpoint is compared as it was trained, and explained."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from cmil.bundle import read_bundle
from cmil.comparison_stage import compare_models, read_comparison
from cmil.explanation_stage import explain_scores
from cmil.explanations.explain import read_explanations
from cmil.explanations.summary import ALL, BY_SCORE
from cmil.kit.build import build_kit
from cmil.prediction import read_predictions
from cmil.protocol.freeze import lock_study
from cmil.protocol.log import LOG, read_log
from cmil.protocol.opening import Validation, validate_external
from cmil.report_stage import report_study
from cmil.settings import MilSettings
from cmil.study import Study, predict_scores, train_model
from cmil.study_settings import StudySettings
from cmil.task_validation import validate_task
from cmil.validation.discrimination import auc_delong
from cohorts.errors import DataError, SettingsError, StudyError
from cohorts.files import digest_of_file, read_json
from cohorts.manifest import Cohort
from cohorts.strata import DEVELOPMENT
from survival import freeze_cutpoint

KINDS = ("0", "1", "2")  # stages: text that looks like numbers
ENDPOINT = {"time": "months", "event": "status"}
COX = {"task": "survival", "endpoint": "relapse", "horizon": 12.0}
ASKED: dict[str, dict[str, Any]] = {
    "classes": {"task": "classes"},
    "cox": COX,
    "hazard": {**COX, "survival_loss": "discrete_hazard", "time_bins": 3},
}


def study_of(out: Path, manifest: Path, bags: Path, mil: MilSettings, asked: str) -> Study:
    label: dict[str, Any] = {"endpoints": {"relapse": ENDPOINT}, "label": ""}
    if asked == "classes":
        label = {"label": "kind", "classes": KINDS}
    more = {"folds": 2, "epochs": 2, "compare": ("mean",), **ASKED[asked]}
    settings = StudySettings.model_validate(
        {
            "seed": 1,
            "cohort": {"manifest": manifest, **label},
            "extraction": {"encoder": "timm:resnet18", "mpp": 0.5},
            "mil": {**mil.model_dump(), **more},
            "survival": {"covariates": ["age"]},
        }
    )
    return Study.at(out, settings, bags=bags)


@pytest.fixture(scope="module")
def drawn(
    tmp_path_factory: pytest.TempPathFactory,
    write_toy: Callable[..., tuple[Cohort, Path]],
    toy_patients: Callable[..., pd.DataFrame],
) -> tuple[Path, Path]:
    """A manifest of 30 development and 16 external patients, of whom P45 was not followed."""
    rng = np.random.default_rng(0)
    patients = toy_patients(30, 16)
    many = patients["label"].to_numpy()
    patients["kind"] = np.where(many, "2", np.where(np.arange(46) % 4, "1", "0"))
    patients["months"] = np.ceil(rng.exponential(np.where(many, 6, 40)) + 1)
    patients["status"] = (rng.random(46) < 0.8).astype(int)
    patients["age"] = rng.normal(40, 9, 46).round()
    patients["months"] = patients["months"].where(patients["patient_id"] != "P45")
    folder = tmp_path_factory.mktemp("tasks")
    return write_toy(folder, patients)[0].manifest, folder / "bags"


@pytest.fixture(scope="module", params=list(ASKED))
def compared(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[Path, Path],
    quick: MilSettings,
) -> Study:
    study = study_of(tmp_path_factory.mktemp("out"), *drawn, quick, request.param)
    train_model(study)
    predict_scores(study)
    compare_models(study)
    return study


def test_all_models_have_their_row_in_every_cohort(compared: Study) -> None:
    table = read_comparison(compared.out / "comparison")
    assert list(table["cohort"].unique()) == [DEVELOPMENT, "Bern"]
    names = ["gated_attention", "mean", "mean and SD of embeddings", "bag size", "centre"]
    for _, rows in table.groupby("cohort"):
        assert list(rows["model"]) == [*names, "covariates"]
    known = read_bundle(compared.out / "models/mean/model").facts
    assert known.fold_of == read_bundle(compared.model).facts.fold_of
    followed = 15 if known.endpoint else 16
    assert set(table.loc[table["cohort"] == "Bern", "patients"]) == {followed}
    assert table["p"].notna().any()


def test_value_is_what_the_model_was_judged_by(compared: Study) -> None:
    bundle = read_bundle(compared.model)
    facts = bundle.facts
    ours = read_comparison(compared.out / "comparison").iloc[0]
    assert ours["model_digest"] == bundle.digest
    if facts.endpoint:
        reached = facts.out_of_fold
        limits = ours["ci_low"], ours["ci_high"]
        assert ours["value"] == pytest.approx(reached.auc)
        assert limits == pytest.approx((reached.auc_ci_low, reached.auc_ci_high))
        return
    told = read_predictions(compared.predictions)
    told = told[told["split"] == "development"]
    scores = facts.calibration.undone(told[[f"score_{name}" for name in KINDS]])
    areas = [auc_delong(scores[:, k], told["class"] == name) for k, name in enumerate(KINDS)]
    assert areas[-1].value == pytest.approx(facts.out_of_fold.auc)  # the AUC of the last class
    assert ours["value"] == pytest.approx(np.mean([one.value for one in areas]))


def test_validation_finds_what_comparison_and_predictions_say(compared: Study) -> None:
    found = validate_task(compared)
    ours = read_comparison(compared.out / "comparison").set_index(["cohort", "role"]).sort_index()
    told = read_predictions(compared.predictions).set_index("patient_id")
    assert list(found.performance["cohort"].unique()) == [DEVELOPMENT, "Bern"]
    here = found.performance[found.performance["cohort"] == DEVELOPMENT]
    of_model = ours.loc[(DEVELOPMENT, "model")].iloc[0]
    if found.confusion is None:
        row = here[here["measure"] == "concordance"].iloc[0]
        for name in ("value", "ci_low", "ci_high", "patients"):
            assert row[name] == pytest.approx(of_model[name])
        followed = set(found.performance.loc[found.performance["cohort"] == "Bern", "patients"])
        assert followed == {15}  # P45 was not followed
    else:
        areas = here.loc[here["measure"] == "auc", "value"]
        assert areas.mean() == pytest.approx(of_model["value"])
        counts = found.confusion.set_index(["cohort", "class", "predicted_class"])["patients"]
        theirs = told[told["split"] == "external"].groupby(["class", "predicted_class"]).size()
        assert counts["Bern"].loc[lambda n: n > 0].to_dict() == theirs.to_dict()
        written = pd.read_csv(compared.out / "validation" / "class_scores.csv")
        ranked = written[[f"rank_{name}" for name in KINDS]]
        assert ranked.sum(axis=1).to_numpy() == pytest.approx(1)
    log = compared.model / "openings.jsonl"
    again = validate_task(compared)
    pd.testing.assert_frame_equal(again.performance, found.performance)
    assert len(log.read_text().splitlines()) == 1


def test_scores_of_another_model_are_not_validated(compared: Study, tmp_path: Path) -> None:
    told = read_predictions(compared.predictions).assign(model_digest="0" * 64)
    told.to_csv(tmp_path / "predictions.csv", index=False)
    other = replace(compared, predictions=tmp_path / "predictions.csv")
    with pytest.raises(DataError, match="is of another model than"):
        validate_task(other)


def test_the_picture_names_measure_models_and_what_is_missing(compared: Study) -> None:
    drawing = ElementTree.parse(compared.out / "comparison" / "comparison.svg")  # noqa: S314 our own
    words = {"".join(text.itertext()) for text in drawing.iter("{http://www.w3.org/2000/svg}text")}
    table = read_comparison(compared.out / "comparison")
    assert set(table["model"]) <= words
    measure = str(table["measure"].iloc[0])
    assert f"{measure[:1].upper()}{measure[1:]} (95% CI)" in words
    external = table[table["cohort"] == "Bern"]
    missing = external["value"].isna()
    assert missing.all() == (measure == "mean AUC of the classes")
    if missing.all():
        assert f"external: {external['note'].iloc[0]}" in words


def test_compared_anew_the_files_are_the_same(compared: Study) -> None:
    files = [compared.out / "comparison" / n for n in ("comparison.csv", "baselines.csv")]
    before = [digest_of_file(path) for path in files]
    (compared.out / "comparison" / "run.json").unlink()
    compare_models(compared)
    assert [digest_of_file(path) for path in files] == before


def test_curves_start_and_end_at_the_scores_of_the_patients(compared: Study) -> None:
    explain_scores(compared)
    found = read_explanations(compared.out / "explanations")
    told = read_predictions(compared.predictions).set_index("patient_id")
    of_map = dict(iter(found.faithfulness.groupby("map")))
    assert set(of_map) == {"attention", "contribution"}
    for rows in of_map.values():
        assert rows.set_index("patient_id")["decision"].to_dict() == told["decision"].to_dict()
        assert rows["rank_agreement"].notna().equals(rows["split"] == "external")
    whole = np.where(told["decision"], told["score"], 1 - told["score"]).mean()
    curves = found.curves[found.curves["patients_of"] == ALL]
    of_all_patches = {"deletion": 0.0, "insertion": 1.0}
    ends = curves[curves["share"] == curves["curve"].map(of_all_patches)]
    assert len(ends) == 2 * 2 * 2
    assert ends["mean"].to_numpy() == pytest.approx(whole, abs=1e-4)
    assert set(found.summary["patients_of"]) <= {ALL, *BY_SCORE.values()}
    for kind in of_map:
        picture = compared.out / "explanations" / f"curves_{kind}.svg"
        assert "Score, or 1 - score" in "".join(ElementTree.parse(picture).getroot().itertext())  # noqa: S314 our own


@pytest.mark.parametrize(
    ("name", "loss"), [("clam_sb", "cox"), ("bag_of_words", "discrete_hazard")]
)
def test_aggregators_that_cannot_learn_an_endpoint_are_refused(name: str, loss: str) -> None:
    survival = {**COX, "survival_loss": loss}
    with pytest.raises(ValueError, match=f'aggregator "{name}"'):
        MilSettings.model_validate({**survival, "compare": (name,)})
    assert MilSettings.model_validate({**ASKED["classes"], "compare": (name,)}).compare == (name,)


@pytest.fixture(scope="module")
def locked(compared: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study, locked; its cut-point is frozen without drawing what survival draws."""
    out = shutil.copytree(compared.out, tmp_path_factory.mktemp("locked") / "out")
    study = Study.at(out, compared.settings, bags=compared.bags)
    if study.settings.cohort.endpoints:
        rule, told = study.settings.survival.cutpoint, read_predictions(study.predictions)
        cutpoint, cohort = out / "survival" / "cutpoint.json", study.cohort.development.digest
        freeze_cutpoint(cutpoint, told, cohort, rule, None, study.settings.seed)
    lock_study(study)
    return study


@pytest.fixture(scope="module")
def opened(
    locked: Study, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, Validation]:
    """The manifest of Bern, where it was opened under the lock, and what became of it."""
    folder = tmp_path_factory.mktemp("bern")
    manifest, there = at_bern(locked, folder, lambda table: table), folder / "there"
    return manifest, there, validate_external(locked.model, manifest, there, bags=locked.bags)


def at_bern(study: Study, folder: Path, changed: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    table = pd.read_csv(study.settings.cohort.manifest)
    table = changed(table[table["centre"] == "Bern"].drop(columns="split"))
    table["path"] = [str(study.settings.cohort.manifest.parent / path) for path in table["path"]]
    table.to_csv(folder / "bern.csv", index=False)
    return folder / "bern.csv"


def test_an_outside_cohort_is_opened_under_the_lock(
    locked: Study, opened: tuple[Path, Path, Validation], tmp_path: Path
) -> None:
    manifest, there, done = opened
    together = validate_task(locked)
    here = together.performance[together.performance["cohort"] == "Bern"].reset_index(drop=True)
    pd.testing.assert_frame_equal(done.results.performance, here)
    log = read_log(locked.model / LOG, done.entry.lock)
    assert {"study", "validate"} == {entry.action for entry in log}
    told = read_predictions(there / "predictions.csv")
    changes = [("score", told["score"] * 0.9, "calibration does not give")]
    if locked.settings.cohort.classes:
        changes.append(("predicted_class", "1", "calibration does not give"))
        changes.append(("predicted_class", "3", "calibration does not give"))
        changes.append(("score_1", "x", "calibration does not give"))
        changes.append(("score_1", 0.9, "calibration does not give"))
        changes.append(("class", "1", "is of another class"))
    for column, value, says in changes:
        path = tmp_path / "changed.csv"
        told.assign(**{column: value}).to_csv(path, index=False)
        with pytest.raises(DataError, match=says):
            validate_external(locked.model, manifest, tmp_path / "no", predictions=path)


def test_scores_made_elsewhere_are_evaluated_without_bags(
    locked: Study, opened: tuple[Path, Path, Validation], tmp_path: Path
) -> None:
    manifest, there, done = opened
    predictions, alone = there / "predictions.csv", tmp_path / "alone"
    again = validate_external(locked.model, manifest, alone, predictions=predictions)
    pd.testing.assert_frame_equal(again.results.performance, done.results.performance)
    record = read_json(alone / "validation" / "opening.json")
    assert record["without_outcome"] == (["P45"] if locked.settings.cohort.endpoints else [])
    entries = len((locked.model / LOG).read_text().splitlines())
    with pytest.raises(SettingsError, match="ratings of readers is for a binary label"):
        validate_external(
            locked.model, manifest, tmp_path / "no", predictions=predictions, ratings=manifest
        )
    if locked.settings.cohort.endpoints:
        nobody = at_bern(locked, tmp_path, lambda table: table.assign(months=np.nan))
        with pytest.raises(DataError, match="no patient has both time and event"):
            validate_external(locked.model, nobody, tmp_path / "no", predictions=predictions)
    assert len((locked.model / LOG).read_text().splitlines()) == entries


def test_an_outside_cohort_without_what_was_learnt_is_refused(
    locked: Study, tmp_path: Path
) -> None:
    endpoint = bool(locked.settings.cohort.endpoints)
    learnt = "months" if endpoint else "kind"
    manifest = at_bern(locked, tmp_path, lambda table: table.drop(columns=learnt))
    says = "lacks a column of the endpoint that was learnt, relapse" if endpoint else '"kind"'
    with pytest.raises(StudyError, match=says):
        validate_external(locked.model, manifest, tmp_path / "out", bags=locked.bags)
    assert not (tmp_path / "out").exists()


def test_what_is_of_a_binary_label_says_so(locked: Study, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cmil kit build is for a binary label"):
        build_kit(locked.model, tmp_path / "kit.zip")
    with pytest.raises(SettingsError, match="cmil report is for a binary label"):
        report_study(locked)
