"""The kit, from the locked bundle to the pooled centres, with what must be refused on the way."""

import json
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmil import __version__
from cmil.kit.build import build_kit
from cmil.kit.collect import collect_results
from cmil.kit.run import Sharing, run_kit
from cmil.kit.wheel import write_wheel
from cmil.prediction import read_predictions
from cmil.protocol.freeze import lock_study
from cmil.study import Study
from cmil.validation.discrimination import auc_delong, logit_interval
from cohorts.errors import DataError, FileFormatError, SettingsError
from cohorts.files import digest_of

PATIENTS, AGGREGATES = Sharing(False, 5), Sharing(True, 5)


@pytest.fixture(scope="module")
def locked(toy_study, tmp_path_factory) -> Study:
    """The toy study, locked."""
    folder = tmp_path_factory.mktemp("locked")
    shutil.copytree(toy_study.model, folder / "model")
    study = Study.at(folder, toy_study.settings, bags=toy_study.bags)
    lock_study(study)
    return study


@pytest.fixture(scope="module")
def kit(locked, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("kit") / "kit.zip"
    build_kit(locked.model, path)
    return path


@pytest.fixture(scope="module")
def centres(write_toy, tmp_path_factory) -> dict[str, Path]:
    """Manifests of three centres beside their bags: 16, 16 and 7 patients."""
    made = {}
    for seed, (centre, size) in enumerate((("Bern", 16), ("Trento", 16), ("Ulm", 7))):
        rng = np.random.default_rng(seed)
        folder = tmp_path_factory.mktemp(centre)
        labels = [i % 2 for i in range(size)] if centre != "Ulm" else [0, 0, 0, 0, 0, 1, 1]
        patients = pd.DataFrame(
            {
                "patient_id": [f"{centre}-{i:03d}" for i in rng.permutation(size)],
                "centre": centre,
                "split": "external",
                "label": labels,
            }
        )
        write_toy(folder, patients, seed=seed + 10)
        made[centre] = folder / "cohort.csv"
    return made


@pytest.fixture(scope="module")
def sent(kit, centres, tmp_path_factory) -> dict[tuple[str, bool], Path]:
    """Results files: of every centre, by patient and as aggregates."""
    files = {}
    for (centre, manifest), sharing in (
        (item, sharing) for item in centres.items() for sharing in (PATIENTS, AGGREGATES)
    ):
        out = tmp_path_factory.mktemp("out")
        done = run_kit(kit, manifest, out, sharing, bags=manifest.parent / "bags")
        files[centre, sharing.aggregates_only] = done.results
    return files


def test_kit_is_one_file_without_an_id_of_a_patient_and_the_same_every_time(
    locked, kit, tmp_path
) -> None:
    build_kit(locked.model, tmp_path / "kit.pyz")
    assert (tmp_path / "kit.pyz").read_bytes() != kit.read_bytes()  # its README names the file
    build_kit(locked.model, tmp_path / "kit.zip")
    assert (tmp_path / "kit.zip").read_bytes() == kit.read_bytes()
    with zipfile.ZipFile(kit) as archive:
        names = archive.namelist()
        texts = [archive.read(n).decode() for n in names if not n.endswith((".whl", "tensors"))]
    assert f"wheels/cmil-{__version__}-py3-none-any.whl" in names and len(names) == 8
    assert kit.stat().st_size < 5e6
    ids = [f'"{name}"' for name in locked.manifest.patients.index]
    assert not any(name in text for text in texts for name in ids)


def test_scores_of_the_kit_are_those_of_the_study(locked, kit, centres, sent) -> None:
    from cmil.protocol.opening import validate_external

    manifest = centres["Bern"]
    here = sent["Bern", False].parent / "here"
    validate_external(locked.model, manifest, here, bags=manifest.parent / "bags")
    own = read_predictions(here / "predictions.csv").set_index("patient_id")
    results = json.loads(sent["Bern", False].read_text())
    names = pd.read_csv(sent["Bern", False].parent / "private" / "pseudonyms.csv")
    patient_of = dict(zip(names["pseudonym"], names["patient_id"], strict=True))
    for row in results["patients"]:
        assert row["score"] == own.loc[patient_of[row["pseudonym"]], "score"]
    listed = [row["pseudonym"] for row in results["patients"]]
    assert listed == sorted(listed)


def test_what_leaves_names_nobody_and_the_secret_stays(sent) -> None:
    for (centre, _), path in sent.items():
        left = path.read_text() + (path.parent / "openings.jsonl").read_text()
        assert not re.search(rf"{centre}-\d\d\d", left)
        secret = path.parent / "private" / "secret.key"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert secret.read_text().strip() not in left
        outside = {p.name for p in path.parent.iterdir() if not p.name.startswith(".")}
        assert outside - {"here"} == {"results.json", "openings.jsonl", "private"}


def test_pseudonyms_are_the_centres_own_and_stay_the_same(kit, centres, sent) -> None:
    path, manifest = sent["Trento", False], centres["Trento"]
    before = json.loads(path.read_text())
    run_kit(kit, manifest, path.parent, PATIENTS, bags=manifest.parent / "bags")
    after = json.loads(path.read_text())
    assert before["patients"] == after["patients"] and before["cohort"] == after["cohort"]
    assert after["entry"] == before["entry"] + 1


def test_aggregates_hold_no_small_count(sent) -> None:
    ulm = json.loads(sent["Ulm", True].read_text())
    (counts,) = ulm["aggregates"]
    assert counts["patients"] == 7 and counts["positives"] is None and counts["negatives"] is None
    assert ulm["patients"] == [] and ulm["smallest_count"] == 5
    assert '"label"' not in json.dumps(ulm)
    (quality,) = ulm["quality"]
    assert quality["slides_with_bag"] == 7 and quality["slides_without_bag"] is None


def test_log_of_an_earlier_run_tells_no_small_count(kit, centres, tmp_path) -> None:
    manifest = centres["Ulm"]
    bags = manifest.parent / "bags"
    run_kit(kit, manifest, tmp_path / "few", Sharing(False, 8), bags=bags)
    done = run_kit(kit, manifest, tmp_path / "few", Sharing(True, 8), bags=bags)
    assert '"Ulm\\": 7' not in done.results.read_text()
    told = run_kit(kit, manifest, tmp_path / "told", Sharing(False, 5), bags=bags)
    assert '"Ulm\\": 7' in told.results.read_text()
    with pytest.raises(SettingsError, match="holds counts below 8 of an earlier run"):
        run_kit(kit, manifest, tmp_path / "told", Sharing(True, 8), bags=bags)


def test_centres_are_pooled_from_patients_and_aggregates(locked, sent, tmp_path) -> None:
    files = [sent["Bern", False], sent["Trento", True], sent["Ulm", True]]
    found = collect_results(locked.model, files, tmp_path)
    rows = found.centres.set_index("centre")
    assert list(rows["shared"]) == ["patients", "aggregates", "aggregates"]
    all_patients = collect_results(
        locked.model, [sent[name, False] for name in ("Bern", "Trento")], tmp_path / "patients"
    )
    trento = all_patients.centres.set_index("centre").loc["Trento"]
    for name in ("patients", "positives", "auc", "auc_variance", "auc_ci_low"):
        assert rows.loc["Trento", name] == trento[name]
    group = all_patients.patients[all_patients.patients["centre"] == "Bern"]
    bern = auc_delong(group["score"], group["label"])
    assert rows.loc["Bern", "auc"] == bern.value
    interval = logit_interval(bern.value, bern.variance)
    assert tuple(rows.loc["Bern", ["auc_ci_low", "auc_ci_high"]]) == interval
    assert pd.isna(rows.loc["Ulm", "auc"]) and "below 5" in rows.loc["Ulm", "note"]
    written = {p.name for p in tmp_path.glob("*.csv")}
    assert written == {
        *("centres.csv", "pooled.csv", "quality.csv", "openings.csv", "predictions.csv"),
    }


def test_results_come_once_and_under_the_same_lock(locked, sent, tmp_path) -> None:
    copy = tmp_path / "copy.json"
    shutil.copy(sent["Bern", False], copy)
    with pytest.raises(DataError, match="hold the same result"):
        collect_results(locked.model, [sent["Bern", False], copy], tmp_path)
    with pytest.raises(DataError, match='hold a result of centre "Bern"'):
        collect_results(locked.model, [sent["Bern", False], sent["Bern", True]], tmp_path)
    other = tmp_path / "model"
    shutil.copytree(locked.model, other)
    (other / "lock.json").unlink()
    extraction = locked.settings.extraction.model_copy(update={"storage": "float32"})
    changed = locked.settings.model_copy(update={"extraction": extraction})
    lock_study(Study.at(tmp_path, changed, bags=locked.bags))
    with pytest.raises(FileFormatError, match="the centre ran another kit"):
        collect_results(other, [sent["Bern", False]], tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["patients"][0].update(score=0.5), "changed after the kit wrote it"),
        (lambda c: c.update(log=c["log"][:-2] + "\n"), "changed after the kit wrote it"),
        (lambda c: c.update(format_version=2), "upgrade cmil"),
        (lambda c: c.update(extra=1), "extra: Extra inputs"),
        (lambda c: c["patients"][0].update(label=2), r"patients.0.label"),
    ],
)
def test_results_changed_by_hand_are_refused(locked, sent, tmp_path, change, says) -> None:
    content = json.loads(sent["Bern", False].read_text())
    change(content)
    (tmp_path / "results.json").write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match=says):
        collect_results(locked.model, [tmp_path / "results.json"], tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda row: row.update(score=0.5), "locked calibration does not give"),
        (lambda row: row.update(decision=1 - row["decision"]), "locked threshold"),
    ],
)
def test_scores_forged_with_a_new_digest_are_still_refused(
    locked, sent, tmp_path, change: Callable[[dict], None], says: str
) -> None:
    content = json.loads(sent["Bern", False].read_text())
    change(content["patients"][0])
    del content["digest"]
    content["digest"] = digest_of(content)
    (tmp_path / "results.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=says):
        collect_results(locked.model, [tmp_path / "results.json"], tmp_path)


def test_kit_with_one_byte_of_its_model_changed_is_refused(kit, centres, tmp_path) -> None:
    manifest = centres["Bern"]
    for name in ("model/model.safetensors", "model/model.json", "model/lock.json"):
        changed = tmp_path / f"{Path(name).name}.zip"
        with zipfile.ZipFile(kit) as old, zipfile.ZipFile(changed, "w") as new:
            for member in old.namelist():
                content = bytearray(old.read(member))
                if member == name:
                    content[len(content) // 2] ^= 1
                new.writestr(member, bytes(content))
        with pytest.raises(FileFormatError, match=f'"{name}" was changed'):
            run_kit(changed, manifest, tmp_path / name, PATIENTS, bags=manifest.parent / "bags")


def test_development_patients_are_refused_by_a_kit_that_does_not_know_their_ids(
    locked, kit, tmp_path
) -> None:
    table = pd.read_csv(locked.settings.cohort.manifest).drop(columns="split")
    table[table["patient_id"] == "P03"].to_csv(tmp_path / "cohort.csv", index=False)
    for name in table["path"]:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match='the model was developed on "P03", whom the external'):
        run_kit(kit, tmp_path / "cohort.csv", tmp_path / "out", PATIENTS, bags=locked.bags)


def test_what_is_asked_wrongly_is_one_line(locked, kit, centres, tmp_path) -> None:
    with pytest.raises(SettingsError, match="3 or more"):
        run_kit(kit, centres["Bern"], tmp_path, Sharing(True, 2))
    with pytest.raises(SettingsError, match=r"\.zip or \.pyz"):
        build_kit(locked.model, tmp_path / "kit.tar")
    with pytest.raises(SettingsError, match="holds no wheel"):
        build_kit(locked.model, tmp_path / "kit.zip", tmp_path)
    (tmp_path / "model").mkdir()
    with pytest.raises(FileFormatError, match="run cmil lock"):
        build_kit(tmp_path / "model", tmp_path / "kit.zip")


def test_installer_refuses_a_changed_wheel_before_it_installs_anything(kit, tmp_path) -> None:
    changed = tmp_path / "kit.zip"
    with zipfile.ZipFile(kit) as old, zipfile.ZipFile(changed, "w") as new:
        for member in old.namelist():
            new.writestr(member, old.read(member) + (b"x" if member.endswith(".whl") else b""))
    command = [sys.executable, str(changed), "--into", str(tmp_path / "env")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "was changed; get the kit again" in done.stderr
    assert not (tmp_path / "env").exists()


def test_own_wheel_installs_without_a_network(tmp_path) -> None:
    wheel = write_wheel(tmp_path)
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet"]
    command += ["--disable-pip-version-check", "--target", str(tmp_path / "installed"), str(wheel)]
    subprocess.run(command, check=True, timeout=120)
    installed = tmp_path / "installed"
    assert (installed / "cmil" / "templates" / "report.html.j2").exists()
    assert (installed / "cmil" / "kit" / "installer.py").exists()
    assert {p.name for p in installed.iterdir()} >= {
        *("cmil", "cohorts", "feature_extraction", "survival", f"cmil-{__version__}.dist-info"),
    }
