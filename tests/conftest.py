"""A small study on images drawn here, run through the command line as a user would."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import settings

from cmil.cli import main
from feature_extraction import rates

# A machine that does other work must not fail a test.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with whole studies: a long file at the end leaves the other processes idle."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.parent != here)


SETTINGS = """title = "Small study"
seed = 3

[cohort]
manifest = "cohort.csv"
label = "metastasis"

[cohort.endpoints."overall survival"]
time = "os_months"
event = "os_event"

[extraction]
encoder = "stain-filters"
mpp = "native"
patch_px = 48

[mil]
folds = 2
epochs = 30
hidden = 16
attention_width = 8

[validation]
samples = 50

[survival]
bootstrap_samples = 20
covariates = ["age_months"]
"""


@dataclass(frozen=True)
class SmallStudy:
    """A folder with `study.toml`, `cohort.csv` and the images it names."""

    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / "study.toml"

    @property
    def manifest(self) -> Path:
        return self.folder / "cohort.csv"

    def images_of(self, patient_id: str) -> list[Path]:
        return sorted((self.folder / "images" / patient_id).iterdir())


def draw_field(rng: np.random.Generator, *, positive: bool) -> np.ndarray:
    """Pale glass, pink discs, one lymphocyte, and where positive a clump of dark nuclei."""
    image = np.full((96, 144, 3), (232, 226, 236), dtype=np.uint8)
    for _ in range(12):
        centre = tuple(int(v) for v in rng.integers(8, (136, 88)))
        cv2.circle(image, centre, 7, (214, 170, 180), -1, cv2.LINE_AA)
    cv2.circle(image, (int(rng.integers(10, 134)), 12), 6, (70, 40, 130), -1, cv2.LINE_AA)
    if positive:
        x, y = rng.integers(24, (120, 72))
        for dx, dy in ((-8, -5), (8, -5), (0, 8), (-12, 8), (12, 9)):
            cv2.circle(image, (int(x + dx), int(y + dy)), 8, (88, 60, 150), -1, cv2.LINE_AA)
    noise = rng.normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def write_study(folder: Path) -> SmallStudy:
    """Twelve development patients in one centre, six external ones in each of two."""
    rng = np.random.default_rng(11)
    lines = ["patient_id,slide_id,path,centre,split,metastasis,os_months,os_event,age_months"]
    for centre, split, size in (
        ("A", "development", 12),
        ("B", "external", 6),
        ("C", "external", 6),
    ):
        for number in range(size):
            patient, positive = f"{centre}{number:02d}", number % 2 == 1
            (folder / "images" / patient).mkdir(parents=True)
            for field in range(3):
                image = draw_field(rng, positive=positive and field == 1)
                path = folder / "images" / patient / f"field {field}.png"
                cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            months = rng.exponential(20 if positive else 60) + 1
            row = [patient, f"{patient}-1", f"images/{patient}", centre, split, int(positive)]
            row += [f"{months:.1f}", int(rng.random() < 0.7), f"{rng.uniform(2, 90):.0f}"]
            lines.append(",".join(str(value) for value in row))
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    (folder / "study.toml").write_text(SETTINGS)
    return SmallStudy(folder)


@pytest.fixture
def small_study(tmp_path: Path) -> SmallStudy:
    return write_study(tmp_path / "study")


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallStudy, Path]:
    """A study that ran through undisturbed, and its results; not to be changed.

    One for all processes that run tests side by side.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    with FileLock(f"{folder}.lock"):
        if not (folder / "whole").exists():
            study = write_study(folder / "study")
            done = run_cmil("run", study.settings, "--out", folder / "out", "--threads", 2)
            assert done.returncode == 0, done.stderr
            (folder / "whole").touch()
    return SmallStudy(folder / "study"), folder / "out"


def without_survival(study: SmallStudy) -> Path:
    """Write settings of the same study that do not relate it to survival, for half of its time."""
    text = study.settings.read_text()
    endpoints, survival = text.index("[cohort.endpoints"), text.index("[survival]")
    path = study.folder / f"scores-{secrets.token_hex(4)}.toml"
    path.write_text(text[:endpoints] + text[text.index("[extraction]") : survival])
    return path


@pytest.fixture
def scores_only() -> Callable[[SmallStudy], Path]:
    return without_survival


def run_cmil(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = command_of(*arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def command_of(*arguments: object) -> Sequence[str]:
    # Warnings are errors in the processes that the tests start, too.
    strict = ["-W", "error::UserWarning", "-W", "error::RuntimeWarning"]
    return [sys.executable, *strict, "-m", "cmil.cli", *(str(a) for a in arguments)]


@pytest.fixture
def cmil() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `cmil` with the given arguments in a process of its own."""
    return run_cmil


@pytest.fixture
def cmil_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs `cmil` within this process: the imports of one of its own take seconds."""
    threads = torch.get_num_threads()

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = ["cmil", *(str(a) for a in arguments)]
        monkeypatch.setattr(sys, "argv", command)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(command, int(ended.value.code or 0), said.out, said.err)

    yield run
    torch.set_num_threads(threads)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time the encoder over what takes no time: the rate is not what a test looks at."""
    monkeypatch.setattr(rates, "_SECONDS", 0.0)


@pytest.fixture
def cmil_command() -> Callable[..., Sequence[str]]:
    """The command line of `cmil` with the given arguments, for a process that is killed."""
    return command_of


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """A cluster of Ray on two processors that somebody else runs; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Sockets lie in it, whose paths may not be long.
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("RAY_AUTH_MODE", "token")  # Ray reads it when it is first imported
        patch.setenv("RAY_worker_niceness", "0")  # or they wait for whatever else is running
        head = subprocess.Popen(
            [
                Path(sys.executable).with_name("ray"), "start", "--head", "--block",
                f"--port={port}", "--num-cpus=2", "--node-ip-address=127.0.0.1",
                "--include-dashboard=false", "--disable-usage-stats",
                "--object-store-memory=100000000", f"--temp-dir={folder}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield f"127.0.0.1:{port}"
        finally:
            head.terminate()
            head.wait(timeout=60)
            shutil.rmtree(folder, ignore_errors=True)
