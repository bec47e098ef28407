"""Wrong use of an external cohort, each refused with its reason, and the right one recorded."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmil.bundle import WEIGHTS
from cmil.cli import main
from cmil.protocol.freeze import lock_study
from cmil.protocol.log import LOG, read_log
from cmil.protocol.opening import Validation, read_opening, validate_external
from cmil.validation.discrimination import auc_delong
from cohorts.errors import DataError, FileFormatError, SettingsError
from cohorts.files import read_json, write_text
from feature_extraction.bags import bag_path, write_bag


def validate(model: Path, manifest: Path, out: Path, **options: Path) -> Validation:
    options = {"bags": manifest.parent / "bags", **options}
    return validate_external(model, manifest, out, **options)


def test_external_cohort_is_scored_recorded_and_evaluated(
    model, external, patients, tmp_path
) -> None:
    manifest, out = external(patients), tmp_path / "out"
    done = validate(model, manifest, out)
    lock, opening = read_opening(model, out)
    (entry,) = read_log(model / LOG, lock.digest)
    assert entry == done.entry and entry.centres == {"Bern": 12, "Trento": 3}
    assert opening["lock"] == lock.digest and opening["without_score"] == []
    scores = pd.read_csv(out / "predictions.csv")
    assert set(scores["score_kind"]) == {"external"}
    bern = scores[scores["centre"] == "Bern"]
    reported = done.results.performance.set_index("cohort")
    assert reported.loc["Bern", "auc"] == auc_delong(bern["score"], bern["label"]).value
    again = validate(model, manifest, tmp_path / "again")
    assert again.entry.number == 2 and again.entry.cohort == entry.cohort


def test_centre_with_one_class_is_refused_for_auc_with_its_reason(
    model, external, patients, tmp_path
) -> None:
    done = validate(model, external(patients), tmp_path / "out")
    trento = done.results.performance.set_index("cohort").loc["Trento"]
    assert pd.isna(trento["auc"]) and trento["specificity_n"] == 3
    opening = read_json(tmp_path / "out" / "validation" / "opening.json")
    assert "Trento" in opening["not_estimable"] and "AUC" in opening["not_estimable"]["Trento"]


def test_command_says_why_a_centre_has_no_auc(model, external, patients, command, tmp_path) -> None:
    manifest = external(patients)
    options = ["--cohort", manifest, "--bags", manifest.parent / "bags", "--out", tmp_path / "out"]
    code, said = command("validate", "--model", model, *options)
    assert code == 0 and "Trento: AUC: one label only: not estimable\n" in said


def test_development_patients_are_refused(model, external, patients, tmp_path) -> None:
    patients.loc[3, "patient_id"] = "p03"
    with pytest.raises(DataError, match='the model was developed on "p03", whom the external'):
        validate(model, external(patients), tmp_path / "out")
    assert not (model / LOG).exists()


def test_images_of_a_development_slide_under_another_id_are_refused(
    copied_study, toy_bag, external, patients, tmp_path
) -> None:
    bags = tmp_path / "bags"
    shutil.copytree(copied_study.bags, bags)
    settings, slide = copied_study.settings, copied_study.cohort.development.slides[0]
    marked = toy_bag(np.random.default_rng(9), 0, source_digest="d" * 64)
    write_bag(bag_path(bags, slide.slide_id), marked)
    study = type(copied_study).at(copied_study.out, settings, bags=bags)
    assert lock_study(study).development.sources == ("d" * 64,)
    manifest = external(patients)
    write_bag(bag_path(manifest.parent / "bags", "X03-1"), marked)
    with pytest.raises(DataError, match=r'slide "X03-1" .* is, file for file, a slide of a dev'):
        validate(study.model, manifest, tmp_path / "out")
    assert not (study.model / LOG).exists()


def test_manifest_that_names_development_is_refused(model, toy, tmp_path) -> None:
    with pytest.raises(DataError, match='patient "P00" is of split "development"'):
        validate(model, toy[0].manifest, tmp_path / "out")


def test_other_preprocessing_is_refused(model, external, patients, toy_bag, tmp_path) -> None:
    manifest = external(patients)
    rng = np.random.default_rng(0)
    for path in (manifest.parent / "bags").glob("*.h5"):
        write_bag(path, toy_bag(rng, 0, encoder_digest="f" * 64))
    with pytest.raises(DataError, match="trained on bags with encoder_digest"):
        validate(model, manifest, tmp_path / "out")
    assert not (model / LOG).exists()


@pytest.mark.parametrize("name", [WEIGHTS, "model.json", "lock.json"])
def test_bundle_with_one_byte_changed_is_refused(
    model, external, patients, tmp_path, name: str
) -> None:
    path = model / name
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(FileFormatError, match=f'{name}" was changed'):
        validate(model, external(patients), tmp_path / "out")


CHANGES = (
    ("score_kind", lambda _: "train", "training or out-of-fold model"),
    ("score_kind", lambda _: "oof", "training or out-of-fold model"),
    ("score", lambda x: x * 0.9, "locked calibration does not give"),
    ("decision", lambda x: 1 - x, "locked threshold .* does not give"),
    ("model_digest", lambda _: "0" * 64, "another model than the locked one"),
    ("label", lambda x: 1 - x, "has another label"),
    ("centre", lambda _: "Bonn", "is of another centre"),
)


def test_scores_that_are_not_of_the_lock_are_refused(model, external, patients, tmp_path) -> None:
    manifest = external(patients)
    validate(model, manifest, tmp_path / "out")
    scores = pd.read_csv(tmp_path / "out" / "predictions.csv", float_precision="round_trip")
    given = tmp_path / "scores.csv"
    write_text(given, scores.to_csv(index=False))
    assert validate(model, manifest, tmp_path / "same", predictions=given).entry.number == 2
    for column, change, says in CHANGES:
        changed = scores.copy()
        changed.loc[4, column] = change(scores.loc[4, column])
        write_text(given, changed.to_csv(index=False))
        with pytest.raises(DataError, match=f'patient "X04" .*{says}'):
            validate(model, manifest, tmp_path / "other", predictions=given)


def log_of(model: Path) -> list[str]:
    return (model / LOG).read_text().splitlines() if (model / LOG).exists() else []


def test_bags_beside_scores_made_elsewhere_are_looked_at_before_the_log(
    model, external, patients, toy_bag, tmp_path
) -> None:
    manifest = external(patients)
    validate(model, manifest, tmp_path / "out")
    scores = tmp_path / "out" / "predictions.csv"
    other = toy_bag(np.random.default_rng(0), 0, encoder_digest="f" * 64)
    for path in (manifest.parent / "bags").glob("*.h5"):
        write_bag(path, other)
    with pytest.raises(DataError, match="trained on bags with encoder_digest"):
        validate(model, manifest, tmp_path / "other", predictions=scores)
    assert len(log_of(model)) == 1


def test_stopped_evaluation_goes_on_under_its_entry(
    model, external, patients, tmp_path, monkeypatch
) -> None:
    manifest, out = external(patients), tmp_path / "out"

    def stop(study) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cmil.protocol.opening.validate_scores", stop)
        with pytest.raises(KeyboardInterrupt):
            validate(model, manifest, out)
    (opened,) = log_of(model)
    assert '"action": "validate"' in opened
    done = validate(model, manifest, out)
    assert done.entry.number == 1 and log_of(model) == [opened]
    assert read_opening(model, out)[1]["not_estimable"]
    # The same scores in another folder are evaluated once more, and the log says so.
    assert validate(model, manifest, tmp_path / "again").entry.number == 2
    (model / LOG).write_text(log_of(model)[1] + "\n")
    with pytest.raises(FileFormatError, match="entry 1 does not follow"):
        validate(model, manifest, out)


def test_folder_of_another_opening_is_opened_anew(model, external, patients, tmp_path) -> None:
    out = tmp_path / "out"
    validate(model, external(patients), out)
    done = validate(model, external(patients.iloc[:12]), out)
    assert done.entry.number == 2 and done.entry.centres == {"Bern": 12}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            lambda table: table.replace({"X00": "P03", "X01": "P04"}),
            'error: the model was developed on "P03", "P04", whom the external cohort names too; '
            "leave out whoever is the same person, and give another id to whoever is not",
        ),
        (
            lambda table: table.assign(split=["development", *["external"] * (len(table) - 1)]),
            'error: cohort.csv row 3, column "split": patient "X00" has "external" here but '
            '"development" in row 2; a patient is in development or external, never in both',
        ),
    ],
)
def test_manifest_is_refused_in_one_line(
    model, external, patients, command, tmp_path, change, line: str
) -> None:
    manifest = external(patients)
    change(pd.read_csv(manifest)).to_csv(manifest, index=False)
    code, said = command(
        "validate", "--model", model, "--cohort", manifest, "--out", tmp_path / "out"
    )
    assert code == 1 and said.splitlines() == [line]
    assert log_of(model) == []


def test_changed_byte_and_cut_log_are_refused_in_one_line(
    model, external, patients, command, tmp_path
) -> None:
    manifest = external(patients)
    options = ["--cohort", manifest, "--bags", manifest.parent / "bags"]
    for name in ("one", "two"):
        assert command("validate", "--model", model, *options, "--out", tmp_path / name)[0] == 0
    twisted = tmp_path / "twisted"
    shutil.copytree(model, twisted)
    whole = (twisted / WEIGHTS).read_bytes()
    (twisted / WEIGHTS).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    code, said = command("validate", "--model", twisted, *options, "--out", tmp_path / "three")
    assert (code, said) == (
        1,
        f'error: "{twisted / WEIGHTS}" was changed after it was locked; restore the bundle as it '
        "was locked\n",
    )
    (model / LOG).write_text(log_of(model)[1] + "\n")
    code, said = command("validate", "--model", model, *options, "--out", tmp_path / "three")
    assert code == 1 and said.splitlines()[-1] == (
        f'error: log "{model / LOG}": entry 1 does not follow the one before it: entries were '
        "removed, put in or moved; restore the log"
    )


def test_results_do_not_go_into_the_locked_study(model, external, patients) -> None:
    with pytest.raises(SettingsError, match="folder of the study that was locked"):
        validate(model, external(patients), model.parent)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "m", "--cohort", "c", "--threshold", "0.4"], "no threshold is chosen at"),
        (["study.toml", "--threshold", "0.4"], "no threshold is chosen at"),
        (["study.toml", "--model", "m", "--cohort", "c"], "drop the study file"),
        (["--model", "m"], "add --cohort"),
        ([], "name a STUDY.toml"),
    ],
)
def test_decisions_of_validation_time_are_one_line(
    tmp_path, monkeypatch, capsys, options: list[str], says: str
) -> None:
    arguments = ["cmil", "validate", *options, "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1 and line.startswith("error: ") and says in line


def test_damaged_log_is_refused_before_a_slide_is_read(model, external, patients, tmp_path) -> None:
    manifest = external(patients)
    validate(model, manifest, tmp_path / "first")
    validate(model, manifest, tmp_path / "second")
    kept = (model / LOG).read_text(encoding="utf-8").splitlines()[1:]
    write_text(model / LOG, "".join(f"{line}\n" for line in kept))
    with pytest.raises(FileFormatError, match="entries were removed"):
        validate(model, manifest, tmp_path / "third", bags=tmp_path / "none are made")
    assert not (tmp_path / "third").exists()
