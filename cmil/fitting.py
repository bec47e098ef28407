"""Fit one aggregator to the bags of its training patients."""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce

import numpy as np
import torch
from torch import Tensor, nn

from cmil.aggregators import Aggregator, build_aggregator
from cmil.settings import MilSettings


def fit_aggregator(
    bags: Sequence[Tensor],
    labels: Sequence[int],
    settings: MilSettings,
    seed: np.random.SeedSequence,
    on_epoch: Callable[[int, float], None] = lambda _epoch, _loss: None,
) -> Aggregator:
    """Train for a fixed number of epochs: no held-out patient decides when to stop.

    Positive patients are weighted so that both classes weigh the same. Each step sees a few
    whole patients, of large bags a fresh random sample of instances.

    Parameters
    ----------
    bags
        One (N, D) tensor a patient, N at least 1.
    labels
        0 or 1 for each; both must occur.
    seed
        Source of initial weights, dropout, order and sampling; the global generators are left as
        they were.
    on_epoch
        Called with the epoch, from 0, and its mean loss.
    """
    # Spawning counts in the sequence it is called on; a copy gives the same children every time.
    copy = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    sampling, initial = copy.spawn(2)
    rng = np.random.default_rng(sampling)
    truth = torch.tensor(labels, dtype=torch.float32)
    weight = (len(truth) - truth.sum()) / truth.sum()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(initial.generate_state(1)[0]))
        model = build_aggregator(settings, bags[0].shape[1])
        model.standardise.fit(list(bags))
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        steps = settings.epochs * -(-len(bags) // settings.bags_per_step)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for epoch in range(settings.epochs):
            losses = []
            for chosen in _steps(len(bags), settings.bags_per_step, rng):
                sample = [_sampled(bags[i], settings.instances_per_bag, rng) for i in chosen]
                instances, mask = padded(sample)
                model.train()
                result = model(instances, mask)
                loss = nn.functional.binary_cross_entropy_with_logits(
                    result.logits[:, 0], truth[chosen], pos_weight=weight
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                losses.append(float(loss.detach()))
            on_epoch(epoch, float(np.mean(losses)))
    return model.eval()


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
    instances = torch.zeros(len(bags), longest, bags[0].shape[1], dtype=precision)
    mask = torch.zeros(len(bags), longest, dtype=torch.bool)
    for row, bag in enumerate(bags):
        instances[row, : len(bag)] = bag
        mask[row, : len(bag)] = True
    return instances, mask


def _steps(patients: int, size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    order = rng.permutation(patients).tolist()
    for first in range(0, patients, size):
        yield order[first : first + size]


def _sampled(bag: Tensor, most: int, rng: np.random.Generator) -> Tensor:
    if len(bag) <= most:
        return bag
    return bag[torch.from_numpy(rng.choice(len(bag), size=most, replace=False))]
