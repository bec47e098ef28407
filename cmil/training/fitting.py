"""Fit one aggregator to the bags of its training patients."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from cmil.aggregators import Aggregation, Aggregator, build_aggregator
from cmil.heads import Cox, Head, fit_head
from cmil.instances import Instances, drawn_from
from cmil.settings import MilSettings
from cmil.training.devices import product_type
from cohorts.errors import DataError
from cohorts.splits import dealt

CPU = torch.device("cpu")
# Of the training patients, those who decide when to stop: one in so many.
_WATCHED = 5


@dataclass(frozen=True)
class Epoch:
    """How a training stood after an epoch.

    Attributes
    ----------
    number
        From 0.
    loss, discrimination
        Mean loss of its steps, and how well their logits told the training patients apart (AUC or
        concordance), dropout and sampling included.
    watched_loss, watched_discrimination
        Of the training patients who decide when to stop; NaN where no one does.
    """

    number: int
    loss: float
    discrimination: float
    watched_loss: float = math.nan
    watched_discrimination: float = math.nan


def fit_aggregator(
    bags: Sequence[Instances],
    truth: ArrayLike,
    settings: MilSettings,
    seed: np.random.SeedSequence,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    device: torch.device = CPU,
) -> Aggregator:
    """Train for a fixed number of epochs, or until an inner split of these patients says stop.

    Each step sees a few whole patients, of large bags a fresh random sample of instances. With
    `patience`, a fifth of the patients are kept out of the steps; the weights are those of the
    epoch in which their loss was lowest.

    Parameters
    ----------
    bags
        (N, D) instances of each training patient, N at least 1.
    truth
        (n,) labels, or (n, 2) times and events.
    seed
        Source of initial weights, dropout, order, sampling and inner split; the global generators
        are left as they were.
    on_epoch
        Called after every epoch.

    Raises
    ------
    DataError
        If the patients lack a class, or events.
    """
    # Spawning counts in the sequence it is called on; a copy gives the same children every time.
    copy = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    sampling, initial, splitting = copy.spawn(3)
    rng = np.random.default_rng(sampling)
    known = np.asarray(truth, dtype=np.float64)
    learning, watched = inner_split(known, settings, np.random.default_rng(splitting))
    # Of all of them: those who decide when to stop are told by the same intervals of time.
    head = fit_head(known, settings)
    with _torch_seeded(initial, device):
        model = build_aggregator(settings, bags[0].shape[1], head.outputs)
        model.standardise.fit([bags[i] for i in learning])
        model.to(device)
        optimiser = _optimiser(model, settings)
        steps = settings.epochs * -(-len(learning) // settings.bags_per_step)
        schedule = _schedule(optimiser, settings, steps)
        best = _Best(settings.patience)
        for number in range(settings.epochs):
            model.train()
            losses, logits, seen = [], [], []
            for chosen in _steps(learning, known, settings, rng):
                sample = [_sampled(bags[i], settings, rng) for i in chosen]
                target = torch.tensor(known[chosen], dtype=torch.float32, device=device)
                result = _aggregate(model, sample, settings, device)
                loss = _loss(head, result, target, settings)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                losses.append(float(loss.detach()))
                logits.append(result.logits.detach())
                seen += chosen
            told = head.discrimination(torch.cat(logits).double().cpu().numpy(), known[seen])
            epoch = Epoch(
                number, float(np.mean(losses)), told, *_watch(model, head, bags, known, watched)
            )
            on_epoch(epoch)
            if best.is_long_ago(epoch, model):
                break
        best.restore(model)
    model = model.to(CPU).eval()
    if isinstance(head, Cox):
        model.level.fill_(float(np.mean([model.score(bag[:]).logits for bag in bags])))
    return model


def padded(bags: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack bags of different size.

    Parameters
    ----------
    bags
        (N_i, D) each, in any floating type.

    Returns
    -------
    instances, mask
        (B, max N, D) with zeros where `mask`, (B, max N) bool, is False; in the precision of the
        most precise bag. A single bag is not copied.
    """
    if len(bags) == 1:
        return bags[0][None], torch.ones(1, len(bags[0]), dtype=torch.bool)
    longest = max(len(bag) for bag in bags)
    precision = reduce(torch.promote_types, (bag.dtype for bag in bags))
    instances = torch.empty(len(bags), longest, bags[0].shape[1], dtype=precision)
    mask = torch.zeros(len(bags), longest, dtype=torch.bool)
    for row, bag in enumerate(bags):
        instances[row, : len(bag)] = bag
        instances[row, len(bag) :] = 0
        mask[row, : len(bag)] = True
    return instances, mask


def inner_split(
    known: NDArray[np.float64], settings: MilSettings, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the patients to learn from, and of those who decide when to stop.

    Raises
    ------
    DataError
        If there is `patience`, and a class of one patient only.
    """
    everyone = np.arange(len(known))
    if settings.patience is None:
        return everyone, everyone[:0]
    strata = _strata(known)
    rarest = int(np.unique(strata, return_counts=True)[1].min())
    if rarest < 2:
        raise DataError(
            "patience keeps patients of every class out of the steps, but a class has one training "
            "patient only; remove patience"
        )
    fold = dealt(strata, min(_WATCHED, rarest), rng)
    return everyone[fold != 0], everyone[fold == 0]


def _strata(known: NDArray[np.float64]) -> NDArray[np.float64]:
    return known if known.ndim == 1 else known[:, 1]


@contextmanager
def _torch_seeded(seed: np.random.SeedSequence, device: torch.device) -> Iterator[None]:
    """Draw from one seed, and leave the generators as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(seed.generate_state(1)[0]))
        yield


def _optimiser(model: Aggregator, settings: MilSettings) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            model.parameters(), lr=rate, momentum=0.9, weight_decay=decay, fused=True
        )
    return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay, fused=True)


def _schedule(
    optimiser: torch.optim.Optimizer, settings: MilSettings, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if settings.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)


def _steps(
    patients: NDArray[np.int64],
    known: NDArray[np.float64],
    settings: MilSettings,
    rng: np.random.Generator,
) -> Iterator[list[int]]:
    """Divide an epoch into steps: everyone once, or as many, drawn so that classes are even."""
    if settings.balance == "sampling":
        _, number, counts = np.unique(
            _strata(known[patients]), return_inverse=True, return_counts=True
        )
        order = rng.choice(patients, len(patients), p=1 / (len(counts) * counts[number])).tolist()
    else:
        order = rng.permutation(patients).tolist()
    for first in range(0, len(order), settings.bags_per_step):
        yield order[first : first + settings.bags_per_step]


def _sampled(bag: Instances, settings: MilSettings, rng: np.random.Generator) -> Tensor:
    kept = max(1, round(len(bag) * (1 - settings.instance_dropout)))
    return drawn_from(bag, min(kept, settings.instances_per_bag), rng)


def _aggregate(
    model: Aggregator, sample: Sequence[Tensor], settings: MilSettings, device: torch.device
) -> Aggregation:
    instances, mask = padded(sample)
    if device.type == "cuda":
        instances, mask = instances.pin_memory(), mask.pin_memory()
    products = product_type(settings.precision, device)
    with torch.autocast(device.type, products, enabled=products == torch.bfloat16):
        result: Aggregation = model(
            instances.to(device, non_blocking=True), mask.to(device, non_blocking=True)
        )
    return result


def _loss(head: Head, result: Aggregation, truth: Tensor, settings: MilSettings) -> Tensor:
    """Loss of the bags and, where the aggregator has one, of instances."""
    of_bags = head.loss(result.logits.float(), truth)
    if result.instance_loss is None:
        return of_bags
    weight = settings.instance_loss_weight
    return (1 - weight) * of_bags + weight * result.instance_loss(truth.long())


def _watch(
    model: Aggregator,
    head: Head,
    bags: Sequence[Instances],
    known: NDArray[np.float64],
    watched: NDArray[np.int64],
) -> tuple[float, float]:
    """Loss and discrimination of those who decide when to stop; NaN where there is no one."""
    if not len(watched):
        return math.nan, math.nan
    logits = np.stack([model.score(bags[i][:]).logits for i in watched])
    truth = torch.tensor(known[watched], dtype=torch.float32)
    loss = float(head.loss(torch.tensor(logits, dtype=torch.float32), truth))
    return loss, head.discrimination(logits, known[watched])


class _Best:
    """The weights of the best epoch so far, and how long ago it was."""

    def __init__(self, patience: int | None) -> None:
        self._patience = patience
        self._loss = math.inf
        self._waited = 0
        self._weights: dict[str, Tensor] = {}

    def is_long_ago(self, epoch: Epoch, model: Aggregator) -> bool:
        """Keep the weights if this epoch is the best; tell whether patience has run out."""
        if self._patience is None:
            return False
        if epoch.watched_loss < self._loss:
            self._loss, self._waited = epoch.watched_loss, 0
            self._weights = {name: x.clone() for name, x in model.state_dict().items()}
        else:
            self._waited += 1
        return self._waited >= self._patience

    def restore(self, model: Aggregator) -> None:
        """Bring the best weights back, if any were kept."""
        if self._weights:
            model.load_state_dict(self._weights)
