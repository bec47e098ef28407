"""One fit of a training: a model, the patients it may see, and the files that it leaves."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cmil.bundle import save_weights
from cmil.heads import fit_head
from cmil.instances import Instances
from cmil.settings import MilSettings
from cmil.training.fitting import Epoch
from cmil.training.model_fitting import fit_model
from cohorts.errors import DataError
from cohorts.files import write_json


@dataclass(frozen=True)
class Fit:
    """What one model is trained on, and on whom it is tried.

    Attributes
    ----------
    fold
        Number of the model that it is, or is a search for.
    patients, truth
        Training patients and their (n,) labels or (n, 2) times and events.
    held_out, held_out_truth
        The same of patients that it must not see. Their truth is compared, never learnt.
    result
        JSON file; written last, so that a fit is done where it is.
    weights
        Where the model goes; None in a search, which needs only what became of it.
    """

    fold: int
    patients: tuple[str, ...]
    truth: NDArray[np.float64]
    held_out: tuple[str, ...]
    held_out_truth: NDArray[np.float64]
    settings: MilSettings
    seed: np.random.SeedSequence
    result: Path
    weights: Path | None


@dataclass(frozen=True)
class FitResult:
    """What became of a fit.

    Attributes
    ----------
    logits
        (n, K) of the held-out patients.
    loss, discrimination
        Of the held-out patients; an infinite loss says that the training diverged.
    epochs
        How the training went.
    """

    logits: NDArray[np.float64]
    loss: float
    discrimination: float
    epochs: tuple[Epoch, ...]


def carry_out(
    fit: Fit,
    bags: Mapping[str, Instances],
    device: torch.device,
    on_epoch: Callable[[Epoch], None],
) -> None:
    """Train, score the held-out patients, and write both.

    One thread computes, however many there are: the order of sums, and so the last digits, would
    follow their number. What is to be quick are many fits at a time.
    """
    epochs: list[Epoch] = []

    def noted(epoch: Epoch) -> None:
        epochs.append(epoch)
        on_epoch(epoch)

    with one_thread():
        model = fit_model(
            [bags[patient] for patient in fit.patients],
            fit.truth,
            fit.settings,
            fit.seed,
            noted,
            device,
        )
        logits = np.stack([model.score(bags[patient][:]).logits for patient in fit.held_out])
    if not np.isfinite(logits).all():
        _note_divergence(fit)
        return
    if fit.weights:
        save_weights([model], fit.weights)
    head = fit_head(fit.truth, fit.settings)
    loss = head.loss(torch.from_numpy(logits).float(), torch.from_numpy(fit.held_out_truth).float())
    content = {
        "logits": logits.tolist(),
        "loss": float(loss),
        "discrimination": _number(head.discrimination(logits, fit.held_out_truth)),
        "epochs": [[_number(value) for value in astuple(epoch)] for epoch in epochs],
    }
    write_json(fit.result, content)


def _note_divergence(fit: Fit) -> None:
    """In a search a fit that diverged has lost; a model of the bundle cannot be without logits."""
    if fit.weights:
        raise DataError(
            f"the training of model {fit.fold + 1} diverged: its logits are no numbers; lower "
            "learning_rate"
        )
    write_json(fit.result, {"logits": [], "loss": None, "discrimination": None, "epochs": []})


def read_result(fit: Fit) -> FitResult:
    """Read what `carry_out` wrote."""
    content = json.loads(fit.result.read_text(encoding="utf-8"))
    epochs = [
        Epoch(int(number), *(math.nan if value is None else value for value in values))
        for number, *values in content["epochs"]
    ]
    discrimination = content["discrimination"]
    return FitResult(
        logits=np.array(content["logits"], dtype=np.float64),
        loss=math.inf if content["loss"] is None else content["loss"],
        discrimination=math.nan if discrimination is None else discrimination,
        epochs=tuple(epochs),
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, and with as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value
