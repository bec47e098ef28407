"""The validation of a study: its files, when they are made anew, and what is refused."""

import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmil.cli import main
from cmil.kit.build import build_kit
from cmil.kit.collect import collect_results, collected_text
from cmil.kit.run import Sharing, run_kit
from cmil.patient_bags import read_patient_bags
from cmil.prediction import read_predictions
from cmil.protocol.freeze import ThresholdRules, lock_study
from cmil.protocol.lock import LOCK, SHIFT, verify_lock
from cmil.protocol.log import LOG, read_log
from cmil.protocol.opening import validate_external
from cmil.readers.comparison import ReaderTables
from cmil.referral.conformal import fit_referral
from cmil.results_table import validation_text
from cmil.study import Study, predict_scores
from cmil.study_settings import StudySettings
from cmil.training.cross_validation import train
from cmil.validation.thresholds import sensitivity_threshold
from cmil.validation_results import read_validation
from cmil.validation_stage import validate_scores
from cohorts.errors import DataError, FileFormatError, ManifestError, SettingsError
from cohorts.files import write_json
from cohorts.manifest import read_cohort
from cohorts.settings import CohortSettings
from cohorts.strata import DEVELOPMENT, POOLED
from feature_extraction.bags import Bag, bag_path, write_bag

PATCHES, TUMOUR = 120, 12
ASKED = {
    "sensitivity": 0.9,
    "prevalences": [0.1],
    "comparator": "clinical",
    "subgroups": ["sex"],
    "samples": 50,
    "referral": {"miss_rate": 0.2, "false_alarm_rate": 0.2},
}


def patients_of(centre: str, split: str, size: int) -> list[dict[str, object]]:
    return [
        {
            "patient_id": f"{centre}{number:02d}",
            "centre": centre,
            "split": split,
            "label": number % 2,
            "clinical": 0.7 if number % 3 else 0.2,
            "sex": "f" if number % 4 < 2 else "m",
        }
        for number in range(size)
    ]


def write_cohort(
    folder: Path, patients: Sequence[dict[str, object]], toy_bag: Callable[..., Bag]
) -> Path:
    """Write manifest, bags of 120 patches, 12 of them tumour in a positive patient, and areas."""
    rng = np.random.default_rng(len(patients))
    rows = []
    for patient in patients:
        slide = f"{patient['patient_id']}-0"
        drawn = toy_bag(rng, 0, instances=PATCHES)
        features = drawn.features.copy()
        if patient["label"]:
            features[:TUMOUR, 0] += rng.normal(2.5, 1, TUMOUR)
        grid = {"patch_size_level0": 224}
        bag = Bag(features, drawn.coords, {**drawn.attributes, "made_by": slide}, grid)
        write_bag(bag_path(folder / "bags", slide), bag)
        (folder / f"{slide}.svs").touch()
        rows.append({**patient, "slide_id": slide, "path": f"{slide}.svs"})
        ring = [[0, 0], [224 * TUMOUR, 0], [224 * TUMOUR, 224], [0, 224], [0, 0]]
        area = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}
        write_json(folder / "areas" / f"{slide}.geojson", [area])
    pd.DataFrame(rows).to_csv(folder / "cohort.csv", index=False)
    return folder / "cohort.csv"


@pytest.fixture(scope="module")
def scored(toy_bag, quick, tmp_path_factory) -> Study:
    """24 development patients of three centres, 24 external ones of two, trained and scored."""
    folder = tmp_path_factory.mktemp("scored")
    people = [p for c in ("Lund", "Oslo", "Turku") for p in patients_of(c, "development", 8)]
    people += [p for c in ("Bern", "Graz") for p in patients_of(c, "external", 12)]
    manifest = write_cohort(folder, people, toy_bag)
    settings = StudySettings.model_validate(
        {
            "seed": 1,
            "cohort": {"manifest": manifest},
            "extraction": {"encoder": "timm:resnet18", "mpp": 0.5},
            "mil": quick,
            "explanations": {"annotations": folder / "areas"},
            "validation": ASKED,
        }
    )
    study = Study.at(folder / "out", settings, bags=folder / "bags")
    cohort = read_cohort(CohortSettings(manifest=manifest))
    bags = read_patient_bags(cohort, study.bags)
    train(cohort.development, bags, quick, study.model, label="label", seed=1)
    predict_scores(study)
    validate_scores(study)
    return study


def again(scored: Study, out: Path, **changed: object) -> Study:
    """The same study in a folder of its own, where `[validation]` may ask something else."""
    shutil.copytree(scored.out, out)
    asked = {**scored.settings.model_dump()["validation"], **changed}
    settings = scored.settings.model_dump() | {"validation": asked}
    return Study.at(out, StudySettings.model_validate(settings), bags=scored.bags)


def written(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((out / "validation").iterdir())}


def test_own_external_patients_are_logged_once_for_each_set_of_scores(
    scored: Study, tmp_path: Path, capsys
) -> None:
    study = again(scored, tmp_path / "out")
    (first,) = read_log(study.model / LOG, "")
    assert (first.action, first.lock, first.centres) == ("study", "", {"Bern": 12, "Graz": 12})
    validate_scores(study)
    assert read_log(study.model / LOG, "") == (first,)
    capsys.readouterr()
    scores = pd.read_csv(study.predictions, float_precision="round_trip")
    scores.iloc[::-1].to_csv(study.predictions, index=False)
    validate_scores(study)
    assert "evaluation 2 of external patients" in capsys.readouterr().err
    lock = lock_study(study)
    validate_scores(study)
    assert [entry.lock for entry in read_log(study.model / LOG, lock.digest)] == ["", ""]


def test_opening_after_the_study_is_not_the_first_look(
    locked: Study, centre: Path, tmp_path: Path
) -> None:
    shutil.copytree(locked.model, tmp_path / "model")
    before = len(read_log(locked.model / LOG, verify_lock(locked.model).digest))
    done = validate_external(
        tmp_path / "model", centre, tmp_path / "out", bags=centre.parent / "bags"
    )
    assert before >= 1 and done.entry.number == before + 1


def test_every_question_is_a_file_and_is_given_back(scored: Study) -> None:
    found = read_validation(scored.out / "validation")
    cohorts = [DEVELOPMENT, "Bern", "Graz", POOLED]
    assert list(found.performance["cohort"]) == cohorts
    first_line = (scored.out / "validation" / "roc.csv").read_text().splitlines()[0]
    assert first_line == "threshold,sensitivity,specificity,cohort"
    for field in fields(found.tables):
        assert len(getattr(found.tables, field.name)), field.name
    assert set(found.tables.decisions["threshold_name"]) == {"youden", "sensitivity 0.9"}
    assert set(found.tables.subgroups["level"]) == {"f", "m"}
    assert "clinical" in set(found.tables.decision_curve["strategy"])
    assert list(found.risk_coverage["cohort"].unique()) == cohorts
    assert list(found.risk_coverage_area["cohort"]) == cohorts
    assert list(found.referral["cohort"]) == cohorts
    assert list(found.shift["centre"]) == ["Bern", "Graz"]
    assert set(found.shift["false_alarms_of"]) == {"development centres"}
    assert list(found.stability["patches"]) == [50]
    assert list(found.stability["patients"]) == [24]
    assert found.readers_agreement is None and found.readers_auc is None
    development = read_predictions(scored.predictions).query("split == 'development'")
    own = found.tables.decisions.query("threshold_name == 'youden'")["threshold"].iloc[0]
    rule = fit_referral(development, own, miss_rate=0.2, false_alarm_rate=0.2)
    assert found.referral_rule == rule
    texts = found.tables.discrimination[["method", "note"]]
    assert texts.map(lambda said: isinstance(said, str)).all(axis=None)


def test_planted_tumour_is_found_the_more_there_is_of_it(scored: Study) -> None:
    found = read_validation(scored.out / "validation")
    points = found.detection_points
    # round(fraction * 120) patches are planted, one at least.
    assert list(points["fraction"]) == [0, 0.005, 0.01, 0.02, 0.05, 0.1]
    assert set(points["patches"]) == {PATCHES} and set(points["bags"]) == {12 * 20}
    assert points["share"].iloc[-1] > points["share"].iloc[1]
    assert found.detection.patients == 12
    assert np.isfinite(found.detection.limit) or found.detection.note
    if np.isfinite(found.detection.slope):
        reached = found.detection([found.detection.limit])["probability"].iloc[0]
        assert np.isnan(found.detection.limit) or reached == pytest.approx(0.95)


def test_same_questions_are_answered_once(scored: Study, tmp_path: Path, capsys) -> None:
    study = again(scored, tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (study.out / "validation").iterdir()}
    validate_scores(study)
    assert "validate: up to date" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in before} == before
    (study.out / "validation" / "shift.csv").unlink()
    validate_scores(study)
    changed = written(scored.out)
    assert {n: b for n, b in written(study.out).items() if n != "run.json"} == {
        n: b for n, b in changed.items() if n != "run.json"
    }


def test_what_is_no_longer_asked_leaves_no_file(scored: Study, tmp_path: Path) -> None:
    study = again(scored, tmp_path / "out", referral=None, comparator=None, subgroups=())
    found = validate_scores(study)
    assert found.referral is None and found.referral_rule is None
    assert not list((study.out / "validation").glob("referral*"))
    assert found.tables.subgroups.empty
    record = json.loads((study.out / "validation" / "run.json").read_text())
    names = {f"validation/{p.name}" for p in (study.out / "validation").iterdir()}
    assert set(record["outputs"]) == names - {"validation/run.json"}


def test_scores_alone_are_enough_for_what_needs_no_bag(scored: Study, tmp_path: Path) -> None:
    settings = scored.settings
    study = Study.at(tmp_path / "out", settings, predictions=scored.predictions)
    found, whole = validate_scores(study), read_validation(scored.out / "validation")
    assert found.shift is None and found.stability is None and found.detection is None
    pd.testing.assert_frame_equal(found.tables.decisions, whole.tables.decisions)
    assert found.referral_rule == whole.referral_rule


def test_development_alone_has_no_centres_to_pool(scored: Study, tmp_path: Path) -> None:
    scores = pd.read_csv(scored.predictions, float_precision="round_trip")
    scores[scores["split"] == "development"].to_csv(tmp_path / "scores.csv", index=False)
    study = Study.at(tmp_path / "out", scored.settings, predictions=tmp_path / "scores.csv")
    found = validate_scores(study)
    assert list(found.performance["cohort"]) == [DEVELOPMENT]
    assert found.tables.centres.empty and found.tables.subgroups.empty
    assert "external centres" not in validation_text(found)


def test_external_scores_alone_tell_no_threshold(scored: Study, tmp_path: Path) -> None:
    scores = pd.read_csv(scored.predictions, float_precision="round_trip")
    scores[scores["split"] == "external"].to_csv(tmp_path / "scores.csv", index=False)
    study = Study.at(tmp_path / "out", scored.settings, predictions=tmp_path / "scores.csv")
    with pytest.raises(DataError, match="no development patient, on whose scores thresholds are"):
        validate_scores(study)


def test_scores_of_another_model_are_refused(scored: Study, tmp_path: Path) -> None:
    study = again(scored, tmp_path / "out")
    scores = pd.read_csv(study.predictions, float_precision="round_trip")
    scores.assign(model_digest="0" * 64).to_csv(study.predictions, index=False)
    with pytest.raises(DataError, match="is of another model than"):
        validate_scores(study)


@pytest.mark.parametrize(
    ("split", "kind", "says"),
    [
        ("development", "train", 'development patient "Lund00" has a score of kind "train"; only'),
        ("external", "oof", 'patient "Bern00" is external, but its score is not of kind external'),
    ],
)
def test_scores_that_would_flatter_are_refused_before_the_log(
    scored: Study, tmp_path: Path, split: str, kind: str, says: str
) -> None:
    study = again(scored, tmp_path / "out")
    before = (study.model / LOG).read_bytes()
    scores = pd.read_csv(study.predictions, float_precision="round_trip")
    scores.loc[scores["split"] == split, "score_kind"] = kind
    scores.to_csv(study.predictions, index=False)
    with pytest.raises(DataError, match=says):
        validate_scores(study)
    assert (study.model / LOG).read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"subgroups": ("stage",)}, ManifestError, 'no column "stage"'),
        ({"subgroups": ("centre",)}, SettingsError, "has a role of its own"),
        ({"comparator": "sex"}, DataError, '"Lund00" .* has no number .* comparator column "sex"'),
    ],
)
def test_columns_that_do_not_serve_are_refused(
    scored: Study, tmp_path: Path, changed: dict[str, object], error: type, says: str
) -> None:
    with pytest.raises(error, match=says):
        validate_scores(again(scored, tmp_path / "out", **changed))


@pytest.fixture(scope="module")
def locked(scored: Study, tmp_path_factory) -> Study:
    study = again(scored, tmp_path_factory.mktemp("locked") / "out")
    lock_study(study)
    return study


@pytest.fixture(scope="module")
def centre(toy_bag, tmp_path_factory) -> Path:
    """Manifest of another centre beside its bags, without split and without sex."""
    folder = tmp_path_factory.mktemp("Ulm")
    people = [
        {name: said for name, said in patient.items() if name not in {"split", "sex"}}
        for patient in patients_of("Ulm", "external", 10)
    ]
    return write_cohort(folder, people, toy_bag)


def test_lock_freezes_thresholds_referral_and_shift(locked: Study) -> None:
    lock = verify_lock(locked.model)
    development = read_predictions(locked.predictions).query("split == 'development'")
    score, label = development["score"], development["label"]
    assert list(lock.thresholds) == ["youden", "sensitivity 0.9"]
    assert lock.thresholds["sensitivity 0.9"] == sensitivity_threshold(score, label, 0.9)
    rates = {"miss_rate": 0.2, "false_alarm_rate": 0.2}
    assert lock.referral == fit_referral(development, lock.threshold, **rates)
    assert SHIFT in lock.files and lock.settings["validation"]["prevalences"] == [0.1]
    assert "ratings" not in lock.settings["validation"]
    again_locked = lock_study(locked)
    assert again_locked.digest == lock.digest
    (locked.model / LOCK).unlink()
    assert lock_study(locked).digest == lock.digest


def test_thresholds_of_the_command_stand_beside_those_of_the_settings(
    scored: Study, tmp_path: Path
) -> None:
    lock = lock_study(again(scored, tmp_path / "out"), ThresholdRules(specificity=0.8))
    assert list(lock.thresholds) == ["youden", "sensitivity 0.9", "specificity 0.8"]
    asked = lock.settings["validation"]
    assert (asked["sensitivity"], asked["specificity"]) == (0.9, 0.8)


def test_external_cohort_is_evaluated_by_the_lock(
    locked: Study, centre: Path, tmp_path: Path, capsys
) -> None:
    done = validate_external(locked.model, centre, tmp_path / "out", bags=centre.parent / "bags")
    assert "has no sex; the validation is left without" in capsys.readouterr().err
    found, lock = done.results, verify_lock(locked.model)
    thresholds = found.tables.decisions.groupby("threshold_name")["threshold"].first()
    assert thresholds.to_dict() == lock.thresholds
    assert found.referral_rule == lock.referral and list(found.referral["cohort"]) == ["Ulm"]
    assert list(found.shift["centre"]) == ["Ulm"] and list(found.shift["patients"]) == [10]
    # Of a lock nobody chooses which patches are marked.
    assert found.detection is None and found.stability is not None
    assert found.tables.subgroups.empty
    scores = pd.read_csv(tmp_path / "out" / "predictions.csv")
    answered = lock.referral(scores["score"]) != "refer"
    assert found.referral["coverage_k"].iloc[0] == answered.sum()


@pytest.mark.parametrize("change", ["one byte", "missing"])
def test_lock_with_another_shift_reference_is_refused(
    locked: Study, centre: Path, tmp_path: Path, change: str
) -> None:
    shutil.copytree(locked.model, tmp_path / "model")
    path = tmp_path / "model" / SHIFT
    if change == "missing":
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    says = "is missing" if change == "missing" else f'{SHIFT}" was changed'
    with pytest.raises(FileFormatError, match=says):
        validate_external(tmp_path / "model", centre, tmp_path / "out", bags=centre.parent / "bags")


def test_kit_leaves_the_shift_reference_at_home_and_says_so(
    locked: Study, centre: Path, tmp_path: Path
) -> None:
    build_kit(locked.model, tmp_path / "kit.zip")
    assert not any(SHIFT in name for name in zipfile.ZipFile(tmp_path / "kit.zip").namelist())
    bags = centre.parent / "bags"
    run = run_kit(tmp_path / "kit.zip", centre, tmp_path / "there", Sharing(False, 5), bags=bags)
    collected = collect_results(locked.model, [run.results], tmp_path / "all")
    assert "does not travel" in collected_text(collected)
    unpacked = tmp_path / "there" / "private" / "kit" / "model"
    assert not (unpacked / SHIFT).exists()
    done = validate_external(unpacked, centre, tmp_path / "out", bags=bags)
    assert done.results.shift is None and done.results.referral is not None


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    """What three readers said of the patients of Ulm: the first two are right."""
    rows = [
        (reader, f"Ulm{n:02d}", n % 2 if reader < "C" else n % 3 % 2, n % 2 + skill * (n % 5))
        for reader, skill in (("A", 0.1), ("B", 0.3), ("C", 2))
        for n in range(10)
    ]
    table = pd.DataFrame(rows, columns=["reader_id", "patient_id", "decision", "rating"])
    table.to_csv(tmp_path / "ratings.csv", index=False)
    return tmp_path / "ratings.csv"


def test_readers_are_compared_with_the_locked_model(
    locked: Study, centre: Path, ratings: Path, tmp_path: Path
) -> None:
    bags = centre.parent / "bags"
    out = tmp_path / "out"
    done = validate_external(locked.model, centre, out, bags=bags, ratings=ratings)
    tables = [getattr(done.results, f"readers_{f.name}") for f in fields(ReaderTables)]
    assert all(set(table["cohort"]) == {"Ulm"} for table in tables)
    auc = done.results.readers_auc.set_index("reader")
    assert list(auc.index) == ["A", "B", "C", "mean of readers"]
    mean = auc.loc[["A", "B", "C"], "reader_value"].mean()
    assert auc.loc["mean of readers", "reader_value"] == pytest.approx(mean)
    assert "ratings" in json.loads((out / "validation" / "run.json").read_text())["inputs"]


def test_reading_of_an_unknown_patient_is_refused_before_the_opening(
    locked: Study, centre: Path, ratings: Path, tmp_path: Path
) -> None:
    shutil.copytree(locked.model, tmp_path / "model")
    (tmp_path / "model" / LOG).unlink(missing_ok=True)
    ratings.write_text(ratings.read_text() + "C,Ulm99,1,1\n")
    with pytest.raises(DataError, match='reader "C" has read patient "Ulm99", who has no score'):
        validate_external(
            tmp_path / "model",
            centre,
            tmp_path / "out",
            bags=centre.parent / "bags",
            ratings=ratings,
        )
    assert not (tmp_path / "model" / LOG).exists()


def test_comparator_that_is_no_number_is_refused_before_the_opening(
    locked: Study, centre: Path, tmp_path: Path
) -> None:
    shutil.copytree(locked.model, tmp_path / "model")
    (tmp_path / "model" / LOG).unlink(missing_ok=True)
    manifest = centre.with_name("mistyped.csv")
    table = pd.read_csv(centre)
    table.loc[2:4, "clinical"] = [1.2, -0.1, np.nan]
    table.to_csv(manifest, index=False)
    with pytest.raises(DataError) as refused:
        validate_external(
            tmp_path / "model", manifest, tmp_path / "out", bags=centre.parent / "bags"
        )
    assert str(refused.value) == (
        'patient "Ulm02" (and 2 more) has no number from 0 to 1 in comparator column "clinical"; '
        "mend it in the manifest"
    )
    assert not (tmp_path / "model" / LOG).exists()


def test_command_says_what_centres_give_together(
    scored: Study, tmp_path: Path, monkeypatch, capsys
) -> None:
    out = tmp_path / "out"
    shutil.copytree(scored.out, out)
    study = tmp_path / "study.toml"
    study.write_text(
        f"""seed = 1
[cohort]
manifest = "{scored.settings.cohort.manifest}"
[extraction]
encoder = "timm:resnet18"
mpp = 0.5
[mil]
{_toml(scored.settings.mil.model_dump(exclude_unset=True))}
[validation]
samples = 50
[validation.referral]
miss_rate = 0.2
false_alarm_rate = 0.2
"""
    )
    arguments = ["cmil", "validate", str(study), "--out", str(out), "--bags", str(scored.bags)]
    monkeypatch.setattr(sys, "argv", arguments)
    main_ends_well()
    said = capsys.readouterr().out
    assert "AUC over 2 external centres: " in said and "REML" in said
    monkeypatch.setattr(sys, "argv", [*arguments, "--json"])
    main_ends_well()
    tables = json.loads(capsys.readouterr().out)
    assert tables["referral"][-1]["cohort"] == POOLED
    assert {"performance", "decisions", "heterogeneity", "shift", "stability"} <= set(tables)


def _toml(values: dict[str, object]) -> str:
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items())


def main_ends_well() -> None:
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
