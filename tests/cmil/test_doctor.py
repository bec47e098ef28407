"""What `cmil doctor` finds on machines and studies that are well, and on those that are not."""

import errno
import json
import os
import threading
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from cmil import machine_checks, study_checks
from cmil.doctor import checks_as_json, checks_as_text, examine
from cmil.machine_checks import Check
from feature_extraction.settings import ExtractionSettings

pytestmark = pytest.mark.usefixtures("hurried")


def found(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def problems(checks: list[Check]) -> list[Check]:
    return [check for check in checks if check.state == "problem"]


def changed(small_study, before: str, after: str) -> Path:
    text = small_study.settings.read_text()
    assert before in text
    small_study.settings.write_text(text.replace(before, after))
    return small_study.settings


def test_a_study_that_is_well(small_study, tmp_path: Path, cmil_here) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = cmil_here(
        "doctor", small_study.settings, "--out", tmp_path / "out" / "results", "--json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert not [check for check in checks.values() if check["state"] == "problem"]
    assert checks["manifest"]["finding"] == "valid: 24 patients, 24 folders"
    assert {"centre A", "centre B", "centre C", "results", "locks", "disk"} <= set(checks)
    assert "144 x 96 pixels" in checks["centre B"]["finding"]
    assert "stain-filters, 225 numbers a patch" in checks["encoder"]["finding"]
    assert "patches a second" in checks["speed"]["finding"]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_machine_without_a_study(cmil_here) -> None:
    done = cmil_here("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "untrained:timm:resnet18" in done.stdout
    assert lines[-1].startswith("0 problems")
    names = {line.split()[1] for line in lines[:-2]}
    assert {"software", "processor", "device", "memory", "slides", "DICOM", "codecs"} <= names


def test_every_fault_of_a_study_is_named_at_once(small_study, tmp_path: Path, cmil_here) -> None:
    weights = small_study.folder / "broken.safetensors"
    weights.write_bytes(b"not weights")
    changed(small_study, '"stain-filters"', '"timm:resnet18"\nweights = "broken.safetensors"')
    for image in small_study.images_of("B00"):
        image.write_bytes(image.read_bytes()[:100])
    (tmp_path / "out").write_text("a file")
    done = cmil_here("doctor", small_study.settings, "--out", tmp_path / "out")
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("problem")]
    assert [line.split()[1] for line in lines] == ["results", "centre", "encoder"]
    assert "is a file; give --out a folder" in lines[0]
    assert 'slide "B00-1" (manifest row 14)' in lines[1]
    assert '"broken.safetensors" are not a whole .safetensors file' in lines[2]
    assert done.stdout.splitlines()[-1].startswith("3 problems")
    assert done.stderr == ""


def test_a_slide_that_is_missing_is_a_problem_of_the_manifest(small_study) -> None:
    lines = small_study.manifest.read_text().replace("images/A00", "images/gone")
    small_study.manifest.write_text(lines)
    (problem,) = problems(examine(small_study.settings))
    assert problem.name == "manifest"
    assert "row 2" in problem.finding and "images/gone" in problem.finding


def test_a_resolution_that_nothing_states_is_found(small_study) -> None:
    changed(small_study, 'mpp = "native"', "mpp = 0.5")
    assert [
        (p.name, "states no resolution" in p.finding)
        for p in problems(examine(small_study.settings))
    ] == [
        ("centre A", True),
        ("centre B", True),
        ("centre C", True),
    ]


def test_settings_that_cannot_be_read_leave_the_machine_to_be_checked(small_study) -> None:
    checks = examine(changed(small_study, "patch_px = 48", "patch_pix = 48"))
    (problem,) = problems(checks)
    assert (problem.name, 'did you mean "patch_px"?' in problem.finding) == ("settings", True)
    assert found(checks)["slides"].state == "ok"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        (check,) = machine_checks.disk(tmp_path / "out")
    finally:
        tmp_path.chmod(0o700)
    assert check.state == "problem"
    assert "cannot be written to" in check.finding


def test_a_file_system_without_locks_is_a_problem(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("filelock.FileLock", lambda path, timeout: nullcontext())
    check = found(machine_checks.disk(tmp_path))["locks"]
    assert check.state == "problem"
    assert "not kept out" in check.finding
    assert list(tmp_path.iterdir()) == []


def test_locks_that_cannot_be_had_are_a_problem(tmp_path: Path, monkeypatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", flock)
    check = found(machine_checks.disk(tmp_path))["locks"]
    assert check.state == "problem"
    assert "No locks available" in check.finding and "mount the share with locks" in check.finding


def test_too_many_threads_are_a_warning(monkeypatch) -> None:
    monkeypatch.setattr("feature_extraction.reading_ahead.usable_cores", lambda: 3)
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    (check,) = machine_checks.processor()
    assert check.state == "warning"
    assert "64 threads" in check.finding and "--threads" in check.finding


def test_a_package_that_is_not_installed_says_how_to_get_it(monkeypatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(machine_checks, "version", missing)
    checks = found(machine_checks.optional_software())
    assert "pip install 'cmil[openvino]'" in checks["nncf"].finding
    assert "pip install 'cmil[ray]'" in checks["ray"].finding


def test_a_library_that_is_broken_stops_no_other_check(monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("libopenslide.so.1: cannot open shared object file")

    monkeypatch.setattr("openslide.OpenSlide", broken)
    checks = examine()
    (problem,) = problems(checks)
    assert "libopenslide.so.1" in problem.finding
    assert found(checks)["speed"].state == "ok"
    assert json.loads(checks_as_json(checks))[0]["name"] == "software"
    assert "1 problems" in checks_as_text(checks).splitlines()[-1]


@pytest.fixture
def _no_weights_here(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


PUBLISHED = ExtractionSettings(encoder="timm:resnet18.a1_in1k", mpp="native", patch_px=64)


@pytest.mark.usefixtures("_no_weights_here")
def test_a_hub_that_hangs_is_not_waited_for(monkeypatch) -> None:
    hanging = threading.Event()

    def hang(*_: object, **__: object) -> None:
        hanging.wait(60)
        raise OSError

    monkeypatch.setattr("socket.create_connection", hang)
    monkeypatch.setattr(study_checks, "_PATIENCE", 0.05)
    checks = found(study_checks.encoder(PUBLISHED))
    hanging.set()
    assert checks["weights"].state == "problem"
    assert "cannot be reached" in checks["weights"].finding
    assert "--weights FILE" in checks["weights"].finding
    assert "untrained:timm:resnet18" in checks["encoder"].finding


@pytest.mark.usefixtures("_no_weights_here")
def test_weights_that_are_still_to_come_are_not_downloaded_for_a_check(monkeypatch) -> None:
    monkeypatch.setattr("socket.create_connection", lambda *_, **__: nullcontext())
    checks = found(study_checks.encoder(PUBLISHED))
    assert checks["weights"].state == "warning"
    assert "will download them" in checks["weights"].finding
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in found(study_checks.encoder(PUBLISHED))["weights"].finding


@pytest.mark.parametrize("name", ["timm:resnet18_of_ours", "torchvision:resnet_of_ours", "ours"])
def test_an_encoder_that_is_not_known_is_a_problem(small_study, name: str) -> None:
    checks = examine(changed(small_study, '"stain-filters"', f'"{name}"'))
    (problem,) = problems(checks)
    assert problem.name == "encoder"
    assert name.partition(":")[2] in problem.finding
