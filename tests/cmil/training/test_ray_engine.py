"""Trainings on a real cluster of Ray give the bundle of one process, whoever dies meanwhile."""

import importlib.util
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from cmil.cli import main
from cmil.patient_bags import PatientBags, read_patient_bags
from cmil.settings import MilSettings
from cmil.training.cross_validation import EpochDone, train
from cmil.training.fits import Fit
from cmil.training.ray_engine import fits_on_ray
from cohorts.errors import AccessError
from cohorts.manifest import Cohort

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason='needs Ray: pip install "cmil[ray]"'
)

SETTINGS = MilSettings(folds=3, epochs=30, hidden=8, attention_width=4, learning_rate=0.01)
STUDY = """
[cohort]
manifest = "{manifest}"

[extraction]
encoder = "stain-filters"
mpp = "native"
"""


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kill_workers(folder: Path) -> int:
    """Kill every process but this one that has a file of the folder mapped; count them."""
    killed = 0
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if str(folder) in maps.read_text() and int(maps.parts[2]) != os.getpid():
                os.kill(int(maps.parts[2]), signal.SIGKILL)
                killed += 1
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return killed


def test_killed_workers_and_a_stop_leave_the_bundle_of_one_process(
    ray_cluster: str, toy: tuple[Cohort, Path], toy_bags: PatientBags, tmp_path: Path
) -> None:
    asked = toy[0].development, toy_bags, SETTINGS
    killed = 0
    told: list[EpochDone] = []

    def disturb(event: EpochDone) -> None:
        nonlocal killed
        told.append(event)
        if not killed:
            killed = kill_workers(tmp_path)
        elif event.loss is None:
            raise KeyboardInterrupt

    there = tmp_path / "there"
    with fits_on_ray(ray_cluster) as engine, pytest.raises(KeyboardInterrupt):
        train(*asked, there, label="label", seed=0, on_epoch=disturb, engine=engine)
    assert killed
    for fold in range(3):  # a fit that began anew repeats nothing
        epochs = [event.epoch for event in told if event.fold == fold and event.loss is not None]
        assert epochs == list(range(len(epochs)))
    (finished,) = (event.fold for event in told if event.loss is None)
    assert [path.stem for path in there.glob("folds/*/*.json")] == [str(finished)]

    resumed: list[EpochDone] = []
    train(*asked, there, label="label", seed=0, on_epoch=resumed.append)
    assert resumed[0] == EpochDone(finished, SETTINGS.epochs - 1, None, None, SETTINGS.epochs)
    train(*asked, tmp_path / "here", label="label", seed=0)
    assert files_in(there) == files_in(tmp_path / "here")


def one_fit(folder: Path, epochs: int) -> Fit:
    truth = np.array([0.0, 1, 0, 1])
    return Fit(
        fold=4,
        patients=("P00", "P01", "P02", "P03"),
        truth=truth,
        held_out=("P04", "P05"),
        held_out_truth=truth[:2],
        settings=SETTINGS.model_copy(update={"epochs": epochs}),
        seed=np.random.SeedSequence(0),
        result=folder / "fit.json",
        weights=folder / "fit.safetensors",
    )


def test_a_fit_that_three_workers_die_of_ends_the_training(
    ray_cluster: str, toy: tuple[Cohort, Path], tmp_path: Path
) -> None:
    cohort, folder = toy
    bags = read_patient_bags(cohort, folder, shared=True)
    killed: list[int] = []

    def kill(fit: Fit, epoch: object) -> None:
        killed.append(kill_workers(folder))

    fit = one_fit(tmp_path, epochs=100_000)
    with (
        fits_on_ray(ray_cluster) as engine,
        pytest.raises(AccessError, match=r"3 workers died of training fold 5, .* want of memory"),
    ):
        engine([fit], bags, tmp_path, kill)
    assert sum(killed) == 3
    assert not fit.result.exists()


def test_the_command_asks_the_cluster_at_the_address(
    ray_cluster: str,
    toy: tuple[Cohort, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "study.toml").write_text(STUDY.format(manifest=toy[0].manifest))
    arguments = ["cmil", "train", str(tmp_path / "study.toml"), "--out", str(tmp_path / "out")]
    options = ["--bags", str(toy[1]), "--engine", "ray", "--address", "localhost"]
    monkeypatch.setattr(sys, "argv", [*arguments, *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert 'error: Ray does not start with "localhost"' in capsys.readouterr().err
