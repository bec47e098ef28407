"""Deletion and insertion curves: what is scored, in which order, and what the areas mean."""

import numpy as np
import pytest
import torch
from torch import Tensor

from cmil.aggregators import Aggregation, Aggregator, BagModel, BagScore, Shape, build_aggregator
from cmil.explanations.faithfulness import (
    RANDOM_ORDERS,
    SHARES,
    Curves,
    counts_to_keep,
    curves_of,
    orders_to_try,
)
from cmil.explanations.prefix_logits import prefix_logits
from cmil.explanations.projected import projected
from cmil.settings import MilSettings


def built(name: str, bag: Tensor, outputs: int = 1) -> Aggregator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        settings = MilSettings(aggregator=name, hidden=6, attention_width=3)
        model = build_aggregator(settings, bag.shape[1], outputs)
    model.standardise.fit([bag])
    model.level.fill_(0.7)
    return model.eval().requires_grad_(False)


def noise(size: int) -> Tensor:
    return torch.randn(size, 9, generator=torch.Generator().manual_seed(0))


class Squared(BagModel):
    """The square of a mean; it claims contributions of which that is not true."""

    def score(self, instances: Tensor) -> BagScore:
        mean = float(instances[:, 0].double().mean())
        shares = np.full((len(instances), 1), mean**2 / len(instances), np.float32)
        return BagScore(np.array([mean**2]), shares, None)


class FirstOfBag(BagModel):
    """A model to which the order of instances matters."""

    def score(self, instances: Tensor) -> BagScore:
        return BagScore(np.array([float(instances[0, 0])]), None, None)


@pytest.mark.parametrize(
    ("name", "outputs"),
    [("mean", 1), ("gated_attention", 1), ("squared", 1), ("mean", 3), ("clam_mb", 3), ("max", 3)],
)
@pytest.mark.parametrize("size", [1, 7, 300])
def test_first_instances_of_an_order_are_scored_as_a_bag(
    name: str, outputs: int, size: int
) -> None:
    bag = noise(size)
    model = Squared() if name == "squared" else built(name, bag, outputs)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(size) for _ in range(3)]
    counts = counts_to_keep(size)
    found = prefix_logits(model, bag, orders, counts)
    expected = [
        [model.score(bag[torch.from_numpy(np.sort(order[:count]))]).logits for count in counts]
        for order in orders
    ]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_subsets_keep_the_order_of_the_bag() -> None:
    order = np.array([2, 0, 1])
    found = prefix_logits(FirstOfBag(), torch.tensor([[5.0], [6.0], [7.0]]), [order], np.r_[1:4])
    assert found.tolist() == [[[7], [5], [5]]]


def test_twin_scores_projected_instances_as_the_model_scores_the_bag() -> None:
    bag = noise(40)
    model = built("gated_attention", bag)
    twin, short = projected(model, bag.half())
    assert short.shape == (40, 6)
    np.testing.assert_allclose(twin.score(short).logits, model.score(bag.half()).logits, atol=1e-5)


def test_model_whose_twin_would_lie_is_left_alone() -> None:
    class LooksAtTheEmbedding(type(built("mean", noise(3)))):  # type: ignore[misc]
        def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
            said = super().forward(instances, mask)
            return Aggregation(said.logits + instances.mean(), said.contributions, None)

    bag = noise(40)
    model = LooksAtTheEmbedding(Shape(9, 1, (6,), 3, 0.0, 0.1)).eval()
    assert projected(model, bag) == (model, bag)


def test_orders_fall_and_rise_and_ties_are_broken_at_random() -> None:
    values = np.array([1.0, 3.0, 1.0, 2.0] * 30)
    falling, rising, *random = orders_to_try(values, np.random.default_rng(0))
    assert (np.diff(values[falling]) <= 0).all()
    np.testing.assert_array_equal(rising, falling[::-1])
    assert len(random) == RANDOM_ORDERS
    lowest = falling[-60:]
    assert (np.diff(lowest) < 0).any()
    assert (np.diff(lowest) > 0).any()


def test_one_instance_stays() -> None:
    assert counts_to_keep(1).tolist() == [1] * 21
    assert counts_to_keep(200)[[0, 1, 2, -1]].tolist() == [1, 2, 4, 200]


def test_areas_are_those_of_known_curves() -> None:
    """A map that finds all evidence in the first 1%, against a straight line: areas by hand."""
    straight = SHARES
    at_once = np.array([0.0] + [1.0] * 20)
    not_before_the_end = np.array([0.0] * 20 + [1.0])
    curves = curves_of(np.stack([at_once, not_before_the_end, *[straight] * RANDOM_ORDERS]))
    # Insertion rises within 1%: area 1 - 0.005, the straight line has 0.5.
    assert curves.insertion_gain == pytest.approx(0.495)
    # Deletion: all gone once 1% is away; the straight line falls from 1 to 0.
    assert curves.deletion.tolist() == [1.0] + [0.0] * 20
    assert curves.deletion_gain == pytest.approx(0.495)


def test_map_of_no_worth_gains_nothing() -> None:
    line = np.linspace(0, 1, 21)
    same = Curves(line[::-1], line, line[::-1], line)
    assert same.deletion_gain == same.insertion_gain == 0
