"""A map for every model: what it finds, and in what unit."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from cmil.aggregators import Aggregator, BagModel, BagScore, build_aggregator
from cmil.explanations.attribution import attribute
from cmil.explanations.subset_logits import Subset, subset_logits
from cmil.settings import MilSettings


class NoisyOr(BagModel):
    """The chance that any instance is positive, as a logit; it says nothing of the instances."""

    def score(self, instances: Tensor) -> BagScore:
        negative = torch.nn.functional.logsigmoid(6 - 2 * instances[:, 0].double()).sum()
        logit = torch.log(torch.expm1(-negative))
        return BagScore(logit.reshape(1).numpy(), None, None)


class Best(BagModel):
    """The largest value, of the first output 0: instances that repeat it need each other gone."""

    def score(self, instances: Tensor) -> BagScore:
        return BagScore(np.array([0.0, float(instances[:, 0].max())]), None, None)


def noise(size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, 4, generator=torch.Generator().manual_seed(seed))


def mean_model(bag: Tensor) -> Aggregator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_aggregator(MilSettings(aggregator="mean", hidden=8), 4)
    model.standardise.fit([bag])
    return model.eval().requires_grad_(False)


def attributed(model: BagModel, bag: Tensor, seed: int = 0, output: int = 0) -> NDArray[np.float32]:
    """Attribute one of the model's logits."""

    def said(parts: Sequence[Subset]) -> NDArray[np.float64]:
        return subset_logits(model, bag, parts)[:, output]

    return attribute(said, len(bag), np.random.default_rng(seed))


@pytest.mark.parametrize("size", [2, 30, 64])
def test_for_a_mean_it_is_the_contribution_but_for_a_constant(size: int) -> None:
    bag = noise(size)
    model = mean_model(bag)
    shares, known = attributed(model, bag), model.score(bag).contributions[:, 0]
    # Half of it is what the mean loses without the instance: N / (N - 1) times the share.
    expected = (known - known.mean()) * (1 + size / (size - 1)) / 2
    np.testing.assert_allclose(shares, expected, atol=1e-6)


def test_of_a_large_bag_it_is_close_to_the_contributions() -> None:
    bag = noise(1000)
    model = mean_model(bag)
    shares, known = attributed(model, bag), model.score(bag).contributions[:, 0]
    assert spearmanr(shares, known).statistic > 0.6
    slope = np.polyfit(known - known.mean(), shares, 1)[0]
    assert 0.2 < slope < 1.2  # of the same unit, shrunk by the ridge


@pytest.mark.parametrize("size", [20, 500])
def test_planted_instances_are_found_in_a_model_that_says_nothing(size: int) -> None:
    bag = noise(size)
    planted = [3, 11, 17]
    bag[planted, 0] = 7.0
    shares = attributed(NoisyOr(), bag)
    assert set(np.argsort(-shares)[:3]) == set(planted)


def test_instances_that_repeat_each_other_are_not_lost() -> None:
    """Leaving one of them out changes nothing; of several outputs the one that ranks counts."""
    bag = noise(20)
    bag[[3, 11], 0] = 7.0
    shares = attributed(Best(), bag, output=1)
    assert set(np.argsort(-shares)[:2]) == {3, 11}
    assert not attributed(Best(), bag, output=0).any()


def test_same_seed_same_map_and_single_instance_has_none() -> None:
    bag = noise(300)
    np.testing.assert_array_equal(attributed(NoisyOr(), bag, 1), attributed(NoisyOr(), bag, 1))
    assert (attributed(NoisyOr(), bag, 1) != attributed(NoisyOr(), bag, 2)).any()
    assert attributed(NoisyOr(), bag[:1]).tolist() == [0]


def test_subsets_in_batches_are_scored_as_bags_of_their_own() -> None:
    bag = noise(3000).half()
    model = mean_model(bag.float())
    rng = np.random.default_rng(0)
    subsets = [rng.choice(3000, size, replace=False) for size in (1, 2999, 40, 41, 700, 5, 3000)]
    alone = [model.score(bag[torch.from_numpy(subset)]).logits for subset in subsets]
    np.testing.assert_allclose(subset_logits(model, bag, subsets), alone, atol=1e-5)
