"""Test whether an aggregator respects the assumption of multiple-instance learning.

The algorithmic unit tests of Raff & Holt 2023 (NeurIPS, arXiv 2310.17867). A bag is positive
because of what it holds, never because of what it lacks. Each test offers, in training, an easy
sign that a bag is negative beside the true reason for which a bag is positive, and turns the sign
round in the test bags. Whoever learnt the sign orders them the wrong way, with an AUC below 0.5.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmil.aggregators import Aggregator, BagModel, build_aggregator
from cmil.histograms.fitting import fit_histogram_model
from cmil.histograms.settings import MEMBERS
from cmil.nearest_name import nearest_name
from cmil.settings import AggregatorName, MilSettings
from cmil.training.fitting import padded
from cmil.users_aggregator import Build, users_aggregator
from cmil.validation.discrimination import auc_delong
from cohorts.errors import SettingsError

DIMENSION = 16
BAGS = 200
EPOCHS = 40
_BAGS_PER_STEP = 10
_LEARNING_RATE = 1e-3
# What a model that has learnt nothing may reach by chance.
_LEARNT = 0.6

Fit = Callable[[Sequence[Tensor], NDArray[np.int64], np.random.Generator, int], BagModel]
"""Fits to bags and their labels, with what it draws from and, where there are any, epochs."""

Draw = Callable[[np.random.Generator, bool, bool], list[NDArray[np.float64]]]
Verdict = Literal["passes", "fails", "learns nothing", "gives no numbers"]


@dataclass(frozen=True)
class AssumptionResult:
    """What one test says of an aggregator.

    Attributes
    ----------
    training_auc, test_auc
        Of bags the model was trained on, and of those in which the false sign is turned round; NaN
        where a logit is no finite number.
    """

    aggregator: str
    test: str
    training_auc: float
    test_auc: float

    @property
    def verdict(self) -> Verdict:
        """Failed is who learnt, and orders the test bags the wrong way, or cannot order bags."""
        if math.isnan(self.training_auc) or math.isnan(self.test_auc):
            return "gives no numbers"
        if self.training_auc < _LEARNT:
            return "learns nothing"
        return "fails" if self.test_auc < 0.5 else "passes"


def check_assumptions(
    name: str,
    fit: Fit,
    seed: np.random.SeedSequence,
    *,
    bags: int = BAGS,
    epochs: int = EPOCHS,
) -> list[AssumptionResult]:
    """Train and test an aggregator on each of the three data sets.

    Parameters
    ----------
    fit
        Trains one, as `fit_network` or `fit_histograms` does.
    seed
        Of bags, initial weights, dropout and order; the global generators are left as they were.
    bags
        Of each data set's training and test part, half of them positive.
    """
    # Spawning counts in the sequence it is called on; a copy gives the same children every time.
    streams = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key).spawn(len(TESTS))
    results = []
    for (test, draw), stream in zip(TESTS.items(), streams, strict=True):
        rng = np.random.default_rng(stream)
        labels = np.arange(bags) % 2
        training, testing = (
            [_bag(draw, rng, bool(label), in_training) for label in labels]
            for in_training in (True, False)
        )
        model = fit(training, labels, rng, epochs)
        training_auc, test_auc = (
            _auc([model.score(bag).logit for bag in drawn], labels) for drawn in (training, testing)
        )
        results.append(AssumptionResult(name, test, training_auc, test_auc))
    return results


def aggregators_to_test(name: str | None) -> Mapping[str, Fit]:
    """Find the aggregators to test: one of ours, a user's `module:Class`, or without a name all.

    A user's class is looked for in the current folder too, and takes the length of embeddings and
    the number of outputs.

    Raises
    ------
    SettingsError
        If there is no such aggregator, or it is not one.
    """
    ours = get_args(AggregatorName)
    if name is None:
        return {one: _fit_ours(one) for one in ours}
    if ":" in name:
        return {name: partial(fit_network, users_aggregator(name))}
    if name not in ours:
        close = nearest_name(name, ours, cutoff=0.6)
        hint = f'; did you mean "{close}"?' if close else ""
        raise SettingsError(
            f'no aggregator is called "{name}"; there are {", ".join(ours)}; name your own as '
            f"module:Class{hint}"
        )
    return {name: _fit_ours(name)}


def results_text(results: Sequence[AssumptionResult]) -> str:
    """Lay out results as a table."""
    rows = [("aggregator", "test", "training AUC", "test AUC", "verdict")]
    for one in results:
        aucs = (f"{one.training_auc:.3f}", f"{one.test_auc:.3f}")
        rows.append((one.aggregator, one.test, *aucs, one.verdict))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def results_json(results: Sequence[AssumptionResult]) -> list[dict[str, str | float | None]]:
    """Say the same for machines; None is an AUC of logits that are no numbers."""
    return [
        {
            "aggregator": one.aggregator,
            "test": one.test,
            "training_auc": None if math.isnan(one.training_auc) else one.training_auc,
            "test_auc": None if math.isnan(one.test_auc) else one.test_auc,
            "verdict": one.verdict,
        }
        for one in results
    ]


def single_concept(
    rng: np.random.Generator, positive: bool, training: bool
) -> list[NDArray[np.float64]]:
    """Draw a bag of algorithm 1: positive if and only if it holds a positive instance.

    A poison is in the negative bags of training, and in the positive ones of the test. The ranges
    of counts, here and below, are those of torchmil 1.0.2 with their upper end.
    """
    parts = [_around(rng, 0, 1, 10)]
    if positive:
        wide = rng.binomial(count := _some(rng, 4), 0.5)
        parts += [_around(rng, 0, 3, wide), _around(rng, 1, 1, count - wide)]
    return [*parts, _poison(rng, present=positive != training)]


def two_concepts(
    rng: np.random.Generator, positive: bool, training: bool
) -> list[NDArray[np.float64]]:
    """Draw a bag of algorithm 2: positive if and only if it holds instances of both concepts.

    A negative bag holds one of either; the poison is as in `single_concept`.
    """
    parts = [_around(rng, 0, 1, _some(rng, 10))]
    if positive:
        count = _some(rng, 4)
        parts += [_around(rng, centre, 0.1, count) for centre in (2, 3)]
    else:
        parts.append(_around(rng, rng.choice([2, 3]), 0.1, 1))
    return [*parts, _poison(rng, present=positive != training)]


def false_frequency(
    rng: np.random.Generator, positive: bool, training: bool
) -> list[NDArray[np.float64]]:
    """Draw a bag of algorithm 3: as `two_concepts`, where numbers mislead and there is no poison.

    Negative bags hold one or two instances of a single concept in training, and 35 to 45 in the
    test: who counts instances, and not concepts, takes them for positive.
    """
    parts = [_around(rng, 0, 1, _some(rng, 10))]
    if positive:
        return [*parts, *(_around(rng, centre, 0.1, _some(rng, 2)) for centre in (2, 3))]
    count = _some(rng, 2) if training else int(rng.integers(35, 45, endpoint=True))
    return [*parts, _around(rng, rng.choice([2, 3]), 0.1, count)]


TESTS: Mapping[str, Draw] = {
    "single concept": single_concept,
    "two concepts": two_concepts,
    "false frequency": false_frequency,
}


def _around(
    rng: np.random.Generator, centre: float, spread: float, count: int
) -> NDArray[np.float64]:
    return rng.normal(centre, spread, (count, DIMENSION))


def _poison(rng: np.random.Generator, *, present: bool) -> NDArray[np.float64]:
    return _around(rng, -10, 0.1, int(present))


def _some(rng: np.random.Generator, most: int) -> int:
    return int(rng.integers(1, most, endpoint=True))


def _bag(draw: Draw, rng: np.random.Generator, positive: bool, training: bool) -> Tensor:
    # In no order, or an aggregator that looks at order would find the poison by its place.
    instances = rng.permutation(np.concatenate(draw(rng, positive, training)))
    return torch.from_numpy(instances.astype(np.float32))


def _auc(logits: Sequence[float], labels: NDArray[np.int64]) -> float:
    return auc_delong(logits, labels).value if np.isfinite(logits).all() else math.nan


def fit_network(
    build: Build,
    bags: Sequence[Tensor],
    labels: NDArray[np.int64],
    rng: np.random.Generator,
    epochs: int,
) -> Aggregator:
    """Train a network that `build` makes from the length of embeddings and number of outputs."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(rng.integers(2**63)))
        model = build(DIMENSION, 1)
        model.standardise.fit(bags)
        optimiser = torch.optim.Adam(model.parameters(), lr=_LEARNING_RATE)
        model.train()
        for _ in range(epochs):
            for chosen in np.array_split(rng.permutation(len(bags)), len(bags) // _BAGS_PER_STEP):
                result = model(*padded([bags[i] for i in chosen]))
                truth = torch.from_numpy(labels[chosen])
                loss = nn.functional.binary_cross_entropy_with_logits(
                    result.logits[:, 0], truth.float()
                )
                if result.instance_loss is not None:
                    loss = loss + result.instance_loss(truth)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return model.eval()


def fit_histograms(
    name: str,
    bags: Sequence[Tensor],
    labels: NDArray[np.int64],
    rng: np.random.Generator,
    _epochs: int,
) -> BagModel:
    """Fit a member of the cMIL family by its default settings; it has no epochs."""
    settings = MilSettings.model_validate({"aggregator": name})
    seed = np.random.SeedSequence(int(rng.integers(2**63)))
    return fit_histogram_model(bags, labels, settings, seed)


def _fit_ours(name: str) -> Fit:
    if name in MEMBERS:
        return partial(fit_histograms, name)
    return partial(fit_network, partial(_build_ours, name))


def _build_ours(name: str, dimension: int, outputs: int) -> Aggregator:
    return build_aggregator(MilSettings.model_validate({"aggregator": name}), dimension, outputs)
