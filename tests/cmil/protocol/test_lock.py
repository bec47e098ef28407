"""The lock: one digest over all that is decided, and no byte of it changes unseen."""

import json
import shutil
from pathlib import Path

import pytest

from cmil.bundle import FACTS, WEIGHTS, read_bundle, write_facts
from cmil.prediction import read_predictions
from cmil.protocol.development import salted_digest
from cmil.protocol.freeze import ThresholdRules, lock_study, without_ids
from cmil.protocol.lock import LOCK, Lock, read_lock, refuse_development, verify_lock, write_lock
from cmil.study import Study, predict_scores, train_model
from cmil.study_settings import read_study_settings
from cmil.validation.thresholds import Cost, fit_thresholds
from cohorts.errors import DataError, FileFormatError, SettingsError
from cohorts.files import digest_of, json_text
from survival.cutpoint import CutPoint


@pytest.fixture
def study(copied_study) -> Study:
    return copied_study


def test_second_lock_has_the_digest_of_the_first_and_names_no_patient(study, toy) -> None:
    first = lock_study(study)
    text = (study.model / LOCK).read_text()
    assert lock_study(study).digest == first.digest == json.loads(text)["digest"]
    (study.model / LOCK).unlink()
    assert lock_study(study).digest == first.digest
    development = toy[0].development.patients.index
    assert not any(f'"{name}"' in text for name in development)
    assert len(first.development.patients) == len(set(first.development.patients)) == 18
    assert verify_lock(study.model) == first
    assert first.threshold == read_bundle(study.model).facts.threshold


@pytest.mark.parametrize("name", [WEIGHTS, FACTS, LOCK])
def test_any_changed_byte_is_refused_with_the_file_named(study, name: str) -> None:
    lock_study(study)
    path = study.model / name
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(FileFormatError, match=f'{name}" was changed'):
            verify_lock(study.model)
    path.write_bytes(whole + b"\n")
    with pytest.raises(FileFormatError, match=f'{name}" was changed'):
        verify_lock(study.model)
    path.unlink()
    with pytest.raises(FileFormatError, match=name):
        verify_lock(study.model)


def test_lock_of_an_earlier_release_keeps_its_digest(study) -> None:
    """It lacks what has come since, here a value of the cut-point, which has a default."""
    cutpoint = CutPoint(
        values=(0.5,),
        method="median",
        n=18,
        score_mean=0.5,
        score_sd=0.1,
        model_digest="m",
        cohort_digest="c",
        scores_digest="s",
    )
    lock = lock_study(study).model_copy(update={"cutpoint": cutpoint}).sealed()
    content = lock.model_dump(mode="json")
    del content["cutpoint"]["p_permutation"]
    digest = digest_of(content)
    (study.model / LOCK).write_text(json_text({**content, "digest": digest}), encoding="utf-8")
    read = read_lock(study.model)
    assert read.digest == digest != lock.digest
    assert read.cutpoint == cutpoint


def test_every_locked_thing_is_in_the_digest(study) -> None:
    lock = lock_study(study)
    changes = {
        "thresholds": {"youden": lock.threshold + 1e-9},
        "calibration": lock.calibration.model_copy(update={"slope": 2.0}),
        "encoding": {**lock.encoding, "encoder_digest": "f" * 64},
        "settings": {**lock.settings, "seed": 2},
        "development": lock.development.model_copy(update={"patients": ("0" * 32,)}),
    }
    digests = {lock.model_copy(update={name: value}).digest for name, value in changes.items()}
    assert len(digests | {lock.digest}) == len(changes) + 1
    with pytest.raises(DataError, match="is there and has other thresholds; a lock is not"):
        write_lock(lock.model_copy(update={"thresholds": {"youden": 0.5}}), study.model)


def test_settings_that_are_not_the_models_are_not_locked(study) -> None:
    mil = study.settings.mil.model_copy(update={"epochs": 21})
    extraction = study.settings.extraction.model_copy(update={"patch_px": 256})
    for changed, says in (({"mil": mil}, "epochs 21"), ({"extraction": extraction}, "patch_px")):
        other = Study.at(
            study.out, study.settings.model_copy(update=changed), bags=study.bags, model=study.model
        )
        with pytest.raises(SettingsError, match=says):
            lock_study(other)
    assert not (study.model / LOCK).exists()


def test_travelling_model_is_the_same_model_without_ids(study, tmp_path) -> None:
    lock = lock_study(study)
    bundle = read_bundle(study.model)
    travelling = without_ids(bundle.facts, bundle.digest)
    assert digest_of(travelling.model_dump(mode="json")) == lock.travelling_model_digest
    folder = tmp_path / "travelling"
    shutil.copytree(study.model, folder)
    write_facts(travelling, folder)
    assert verify_lock(folder) == lock
    assert len(read_bundle(folder).models) == len(bundle.models)
    assert "P00" not in (folder / FACTS).read_text()


def test_development_patients_are_known_whatever_their_case(study) -> None:
    lock: Lock = lock_study(study)
    refuse_development(lock, ["P18", "P19"])
    with pytest.raises(DataError, match='"p03", "P04"'):
        refuse_development(lock, ["P18", "p03", "P04"])


def test_digest_of_an_id_is_scrypt_of_its_composed_lower_case() -> None:
    import hashlib

    expected = hashlib.scrypt("müller".encode(), salt=b"salt", n=4096, r=8, p=1, dklen=16).hex()
    assert salted_digest("Mu\u0308ller", "salt") == expected
    assert salted_digest("Müller", "other") != expected


def test_locked_study_is_not_trained_again(finished_study, tmp_path) -> None:
    small, out = finished_study
    shutil.copytree(out, tmp_path / "out")
    settings = read_study_settings(small.settings)
    locked = lock_study(Study.at(tmp_path / "out", settings))
    assert locked.cutpoint is not None and locked.cutpoint.n == 12
    assert len(locked.development.sources) == 12
    mil = settings.mil.model_copy(update={"epochs": 31})
    changed = Study.at(tmp_path / "out", settings.model_copy(update={"mil": mil}))
    before = (Path(tmp_path) / "out" / "model" / WEIGHTS).read_bytes()
    with pytest.raises(DataError, match="is locked and is not trained again"):
        train_model(changed)
    assert (tmp_path / "out" / "model" / WEIGHTS).read_bytes() == before
    (tmp_path / "out" / "survival" / "cutpoint.json").unlink()
    with pytest.raises(DataError, match="run cmil survival"):
        lock_study(Study.at(tmp_path / "out", settings))


def test_further_thresholds_are_chosen_on_out_of_fold_scores_and_locked(study) -> None:
    predict_scores(study)
    rules = ThresholdRules(0.9, 0.8, Cost(5, 1, 0.3))
    lock = lock_study(study, rules)
    assert list(lock.thresholds) == ["youden", "sensitivity 0.9", "specificity 0.8", "cost"]
    scores = read_predictions(study.predictions)
    development = scores[scores["split"] == "development"]
    chosen = fit_thresholds(development, 0.9, 0.8, Cost(5, 1, 0.3))
    assert lock.thresholds == chosen
    assert lock.threshold == read_bundle(study.model).facts.threshold
    with pytest.raises(DataError, match="is there and has other thresholds; a lock is not"):
        lock_study(study)
    (study.model / LOCK).unlink()
    text = study.predictions.read_text().replace(",oof,", ",train,", 1)
    study.predictions.write_text(text)
    with pytest.raises(DataError, match="chosen on out-of-fold development scores"):
        lock_study(study, rules)


def test_newer_lock_says_what_to_upgrade(study) -> None:
    lock_study(study)
    path = study.model / LOCK
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 2', 1))
    with pytest.raises(FileFormatError, match="upgrade cmil"):
        read_lock(study.model)
