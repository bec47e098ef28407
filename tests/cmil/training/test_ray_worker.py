from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cmil.instances import placed_in_files
from cmil.settings import MilSettings
from cmil.training.devices import fitting_devices
from cmil.training.fits import Fit, carry_out
from cmil.training.fitting import Epoch
from cmil.training.ray_worker import FitWorker, Rows, proof_of, refuse_other_bags
from cohorts.errors import AccessError, DataError


def test_a_machine_that_sees_other_bags_is_refused(tmp_path: Path) -> None:
    spill = tmp_path / "instances.bin"
    slides = np.arange(12, dtype=np.float32).reshape(4, 3), np.ones((2, 3), dtype=np.float32)
    rows = placed_in_files({"P0": slides[:1], "P1": slides[1:]}, spill)
    proof = proof_of(rows)
    refuse_other_bags(rows, proof)
    whole = spill.read_bytes()
    for other in (whole[:-4], whole[:-4] + bytes(4), b""):  # cut off; another number; empty
        spill.write_bytes(other)
        with pytest.raises(AccessError, match=f'does not see "{spill}" as the command does'):
            refuse_other_bags(rows, proof)
    gone = {"P0": [replace(rows["P0"][0], path=tmp_path / "gone.h5")], "P1": rows["P1"]}
    with pytest.raises(AccessError, match=r"gone\.h5"):
        refuse_other_bags(gone, proof)


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    rng = np.random.default_rng(0)
    slides = {f"P{i}": [rng.normal(i % 2, 1, (5, 3)).astype(np.float32)] for i in range(6)}
    return placed_in_files(slides, tmp_path / "instances.bin")


def fit_in(folder: Path, **changed: object) -> Fit:
    settings = MilSettings(epochs=7, hidden=4, attention_width=2, bags_per_step=2)
    truth = np.array([0.0, 1, 0, 1])
    return Fit(
        fold=0,
        patients=("P0", "P1", "P2", "P3"),
        truth=truth,
        held_out=("P4", "P5"),
        held_out_truth=truth[:2],
        settings=settings.model_copy(update=changed),
        seed=np.random.SeedSequence(3),
        result=folder / "fit.json",
        weights=folder / "fit.safetensors",
    )


def test_a_worker_gives_every_epoch_once_and_the_bytes_of_the_files(
    rows: Rows, tmp_path: Path
) -> None:
    fit = fit_in(tmp_path)
    worker = FitWorker(rows)
    member = worker.join(proof_of(rows))
    assert f"torch {torch.__version__}" in member.computes_with
    news = worker.carry_out(fit)
    epochs: list[Epoch] = [*news.epochs]
    while news.files is None:
        news = worker.go_on()
        epochs += news.epochs
    assert not fit.result.exists()  # it is for the command to write
    expected: list[Epoch] = []
    bags = {patient: torch.from_numpy(slides[0].mapped()) for patient, slides in rows.items()}
    carry_out(fit, bags, fitting_devices()[0], expected.append)
    assert str(epochs) == str(expected)  # of NaN, too, that is no number equal to itself
    assert news.files.result == fit.result.read_bytes()
    assert news.files.weights == fit.weights.read_bytes()


def test_a_worker_raises_what_a_fit_raises_and_serves_on(rows: Rows, tmp_path: Path) -> None:
    worker = FitWorker(rows)
    worker.join(proof_of(rows))

    def until_done(fit: Fit) -> None:
        news = worker.carry_out(fit)
        while news.files is None:
            news = worker.go_on()

    with pytest.raises(DataError, match="training of model 1 diverged"):
        until_done(fit_in(tmp_path, optimiser="sgd", learning_rate=1e6))
    until_done(fit_in(tmp_path))
