"""What every aggregator promises, and gated attention against its paper."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmil.aggregators import Aggregator, Standardiser, build_aggregator
from cmil.fitting import padded
from cmil.settings import MilSettings

WIDTH = 5
NAMES = ("mean", "gated_attention")
SIZES = (7, 1, 4)


@pytest.fixture
def bags() -> list[Tensor]:
    random = torch.Generator().manual_seed(3)
    return [torch.randn(size, WIDTH, generator=random) for size in SIZES]


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest, bags: list[Tensor]) -> Aggregator:
    return built(request.param, bags)


def built(name: str, bags: list[Tensor]) -> Aggregator:
    settings = MilSettings(aggregator=name, hidden=6, attention_width=3, dropout=0.5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        model = build_aggregator(settings, WIDTH)
    model.standardise.fit(bags)
    return model.eval().requires_grad_(False)


def alone(model: Aggregator, bag: Tensor):
    return model(bag[None], torch.ones(1, len(bag), dtype=torch.bool))


def test_order_of_instances_makes_no_difference(model: Aggregator, bags: list[Tensor]) -> None:
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    there, back = alone(model, bags[0]), alone(model, bags[0][order])
    torch.testing.assert_close(back.logits, there.logits)
    torch.testing.assert_close(back.contributions[0], there.contributions[0, order])


@pytest.mark.parametrize("garbage", [0.0, 1e6, -1e30, float("inf"), float("nan")])
def test_what_the_mask_hides_makes_no_difference(
    model: Aggregator, bags: list[Tensor], garbage: float
) -> None:
    instances, mask = padded(bags)
    clean = model(instances, mask)
    spoilt = model(instances.masked_fill(~mask[..., None], garbage), mask)
    torch.testing.assert_close(spoilt.logits, clean.logits, rtol=0, atol=0)
    torch.testing.assert_close(spoilt.contributions, clean.contributions, rtol=0, atol=0)
    assert (spoilt.contributions[~mask] == 0).all()
    if spoilt.attention is not None:
        assert (spoilt.attention[~mask] == 0).all()


def test_batch_says_of_each_bag_what_it_says_of_it_alone(
    model: Aggregator, bags: list[Tensor]
) -> None:
    together = model(*padded(bags))
    for row, bag in enumerate(bags):
        single = alone(model, bag)
        torch.testing.assert_close(together.logits[row], single.logits[0])
        torch.testing.assert_close(together.contributions[row, : len(bag)], single.contributions[0])


def test_contributions_sum_to_the_logit_less_the_bias(
    model: Aggregator, bags: list[Tensor]
) -> None:
    result = model(*padded(bags))
    expected = result.logits - model.classify.bias
    torch.testing.assert_close(result.contributions.sum(dim=1), expected)


def test_attention_is_a_distribution_over_the_bag(bags: list[Tensor]) -> None:
    attention = built("gated_attention", bags)(*padded(bags)).attention
    assert (attention >= 0).all()
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(len(bags), 1))
    assert attention[1, 0, 0] == 1  # the bag of one instance


def test_mean_has_no_attention_and_weighs_all_alike(bags: list[Tensor]) -> None:
    model = built("mean", bags)
    result = alone(model, bags[0])
    assert result.attention is None
    each = torch.stack([alone(model, bags[0][i : i + 1]).logits[0] for i in range(SIZES[0])])
    torch.testing.assert_close(result.logits[0], each.mean(dim=0))


def test_dropout_acts_in_training_only(model: Aggregator, bags: list[Tensor]) -> None:
    assert torch.equal(alone(model, bags[0]).logits, alone(model, bags[0]).logits)
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dropped = torch.stack([alone(model, bags[0]).logits for _ in range(8)])
    assert dropped.std(dim=0) > 0


def test_gated_attention_is_equation_9(bags: list[Tensor]) -> None:
    """Ilse et al. 2018, eq. 7 and 9: a_k = softmax(w . (tanh(V h_k) * sigm(U h_k)))."""
    model = built("gated_attention", bags)
    state: dict[str, NDArray[np.float64]] = {
        name: tensor.double().numpy() for name, tensor in model.state_dict().items()
    }
    x = (bags[0].double().numpy() - state["standardise.mean"]) / state["standardise.spread"]
    h = np.maximum(0, x @ state["project.0.weight"].T + state["project.0.bias"])
    (v, u), (v_bias, u_bias) = (
        np.split(state[f"values_and_gates.{part}"], 2) for part in ("weight", "bias")
    )
    relevance = np.array(
        [
            state["weigh.weight"][0]
            @ (np.tanh(v @ h_k + v_bias) / (1 + np.exp(-(u @ h_k + u_bias))))
            for h_k in h
        ]
    )
    a = np.exp(relevance) / np.exp(relevance).sum()
    z = sum(a_k * h_k for a_k, h_k in zip(a, h, strict=True))
    logit = state["classify.weight"][0] @ z + state["classify.bias"][0]

    result = alone(model, bags[0])

    np.testing.assert_allclose(result.attention[0, :, 0].numpy(), a, rtol=1e-5)
    assert result.logits.item() == pytest.approx(logit, rel=1e-5)


def test_standardiser_weighs_patients_and_not_instances(bags: list[Tensor]) -> None:
    bags = [bags[0] * 100 + 7, bags[2] * 100 + 7]
    standardise = Standardiser(WIDTH)
    standardise.fit(bags)
    standard = [standardise(bag) for bag in bags]
    mean = sum(bag.mean(dim=0) for bag in standard) / 2
    square = sum(bag.square().mean(dim=0) for bag in standard) / 2
    torch.testing.assert_close(mean, torch.zeros(WIDTH), rtol=0, atol=1e-5)
    torch.testing.assert_close(square, torch.ones(WIDTH), rtol=0, atol=1e-5)


def test_a_number_that_never_varied_cannot_blow_up() -> None:
    standardise = Standardiser(1)
    standardise.fit([torch.full((3, 1), 2.0)])
    assert torch.isfinite(standardise(torch.tensor([[2.0], [3.0]]))).all()
