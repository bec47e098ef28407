"""Several processes give what one gives, and say so when one of them dies."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from cmil.patient_bags import PatientBag, PatientBags
from cmil.settings import MilSettings
from cmil.training import fit_workers
from cmil.training.fit_workers import WORTH_PROCESSES_S, run_fits, seconds_expected
from cmil.training.fits import Fit
from cmil.training.fitting import Epoch
from cohorts.errors import AccessError


@pytest.fixture
def bags() -> PatientBags:
    rng = np.random.default_rng(0)
    held = {
        f"P{i}": PatientBag(torch.tensor(rng.normal(i % 2, 1, (5, 3)), dtype=torch.float32), {})
        for i in range(6)
    }
    return PatientBags(held, {}, 3, "")


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two threads are there, and no fit is too short for processes."""
    monkeypatch.setattr(fit_workers, "WORTH_PROCESSES_S", 0.0)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def fits(folder: Path, epochs: int = 3) -> list[Fit]:
    settings = MilSettings(epochs=epochs, hidden=4, attention_width=2, bags_per_step=2)
    truth = np.array([0.0, 1, 0, 1])
    return [
        Fit(
            fold=number,
            patients=("P0", "P1", "P2", "P3"),
            truth=truth,
            held_out=("P4", "P5"),
            held_out_truth=truth[:2],
            settings=settings,
            seed=np.random.SeedSequence(number),
            result=folder / f"{number}.json",
            weights=folder / f"{number}.safetensors",
        )
        for number in range(3)
    ]


def left(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "instances.bin"}


def test_processes_give_the_bytes_of_one_and_tell_every_epoch(
    bags: PatientBags, two_processes: None, tmp_path: Path
) -> None:
    told: list[tuple[int, int | None]] = []
    torch.set_num_threads(1)
    run_fits(fits(tmp_path / "one"), bags, tmp_path / "one", lambda fit, epoch: None)
    torch.set_num_threads(2)
    beside = set()

    def tell(fit: Fit, epoch: Epoch | None) -> None:
        beside.update(child.pid for child in multiprocessing.active_children())
        told.append((fit.fold, epoch.number if epoch else None))

    run_fits(fits(tmp_path / "two"), bags, tmp_path / "two", tell)
    assert len(beside) == 2
    assert left(tmp_path / "two") == left(tmp_path / "one")
    assert len(left(tmp_path / "one")) == 6
    for fold in range(3):
        assert [epoch for of, epoch in told if of == fold] == [0, 1, 2, None]


def test_what_is_done_sooner_than_processes_start_is_done_here(
    bags: PatientBags, tmp_path: Path
) -> None:
    torch.set_num_threads(2)
    beside: list[object] = []
    short = fits(tmp_path)
    assert seconds_expected(short, bags) < WORTH_PROCESSES_S
    run_fits(short, bags, tmp_path, lambda *_: beside.extend(multiprocessing.active_children()))
    torch.set_num_threads(1)
    assert not beside and len(left(tmp_path)) == 6


def test_epochs_patients_and_instances_take_their_time(bags: PatientBags, tmp_path: Path) -> None:
    short, long = (fits(tmp_path, epochs=epochs) for epochs in (3, 30))
    assert seconds_expected(long, bags) == pytest.approx(
        10 * seconds_expected(short, bags), rel=1e-3
    )
    large = {p: PatientBag(torch.zeros(5000, 3), {}) for p in bags.bags}
    assert seconds_expected(short, PatientBags(large, {}, 3, "")) > seconds_expected(short, bags)
    slow = fits(tmp_path, epochs=1000)
    assert seconds_expected(slow, bags) > WORTH_PROCESSES_S


def test_death_of_a_process_is_told_with_its_fold(
    bags: PatientBags, two_processes: None, tmp_path: Path
) -> None:
    """The system kills a process when memory runs out; here the test does."""

    def kill(fit: Fit, epoch: object) -> None:
        if fit.fold == 1:
            for child in multiprocessing.active_children():
                child.kill()

    with pytest.raises(
        AccessError, match=r"the process that trained fold \d died \(exit code -9\)"
    ):
        run_fits(fits(tmp_path, epochs=100_000), bags, tmp_path, kill)
