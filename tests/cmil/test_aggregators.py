"""What every aggregator promises, and each against the equations of its paper."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmil.aggregators import (
    Aggregation,
    Aggregator,
    Standardiser,
    build_aggregator,
    chunked_map,
    nystrom_attention,
)
from cmil.aggregators.noisy_or import noisy_or
from cmil.settings import MilSettings, reads
from cmil.training.fitting import padded
from cohorts.errors import DataError

WIDTH = 5
POOLED = ("mean", "max", "top_k", "attention", "gated_attention", "clam_sb", "clam_mb", "dsmil")
ATTENDING = ("attention", "gated_attention", "clam_sb", "clam_mb", "dsmil", "additive_attention")
NAMES = (*POOLED, "additive_attention", "noisy_or", "trans_mil")
SIZES = (7, 1, 4)

State = dict[str, NDArray[np.float64]]


@pytest.fixture
def bags() -> list[Tensor]:
    random = torch.Generator().manual_seed(3)
    return [torch.randn(size, WIDTH, generator=random) for size in SIZES]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[1, 3])
def model(name: str, request: pytest.FixtureRequest, bags: list[Tensor]) -> Aggregator:
    return built(name, bags, request.param)


def built(name: str, bags: list[Tensor], outputs: int = 1, **chosen: object) -> Aggregator:
    settings = MilSettings(
        aggregator=name, **{"hidden": 6, "attention_width": 3, "dropout": 0.5, **chosen}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        model = build_aggregator(settings, WIDTH, outputs)
    model.standardise.fit(bags)
    return model.eval().requires_grad_(False)


def alone(model: Aggregator, bag: Tensor) -> Aggregation:
    return model(bag[None], torch.ones(1, len(bag), dtype=torch.bool))


def maps(result: Aggregation) -> list[Tensor]:
    return [x for x in (result.contributions, result.attention) if x is not None]


def weights(model: Aggregator) -> State:
    return {key: tensor.double().numpy() for key, tensor in model.state_dict().items()}


def projected(state: State, bag: Tensor) -> NDArray[np.float64]:
    x = (bag.double().numpy() - state["standardise.mean"]) / state["standardise.spread"]
    return np.maximum(0, linear(state, "project.0", x))


def linear(state: State, layer: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x @ state[f"{layer}.weight"].T + state.get(f"{layer}.bias", 0)


def softmax(x: NDArray[np.float64], axis: int = 0) -> NDArray[np.float64]:
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


def gate(state: State, h: NDArray[np.float64]) -> NDArray[np.float64]:
    v, u = np.split(linear(state, "values_and_gates", h), 2, axis=1)
    return np.tanh(v) / (1 + np.exp(-u))


def test_order_of_instances_makes_no_difference(model: Aggregator, bags: list[Tensor]) -> None:
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    there, back = alone(model, bags[0]), alone(model, bags[0][order])
    same = torch.allclose(back.logits, there.logits, rtol=1e-4, atol=1e-6)
    assert same != model.order_matters
    for before, after in zip(maps(there), maps(back), strict=True):
        torch.testing.assert_close(after[0], before[0, order])


@pytest.mark.parametrize("garbage", [0.0, 1e6, -1e30, float("inf"), float("nan")])
def test_what_the_mask_hides_makes_no_difference(
    model: Aggregator, bags: list[Tensor], garbage: float
) -> None:
    instances, mask = padded(bags)
    clean = model(instances, mask)
    spoilt = model(instances.masked_fill(~mask[..., None], garbage), mask)
    torch.testing.assert_close(spoilt.logits, clean.logits, rtol=0, atol=0)
    for before, after in zip(maps(clean), maps(spoilt), strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=0)
        assert (after[~mask] == 0).all()
    if clean.instance_loss and spoilt.instance_loss:
        truth = torch.tensor([1, 0, 1])
        assert torch.equal(spoilt.instance_loss(truth), clean.instance_loss(truth))


def test_batch_says_of_each_bag_what_it_says_of_it_alone(
    model: Aggregator, bags: list[Tensor]
) -> None:
    together = model(*padded(bags))
    losses = []
    for row, bag in enumerate(bags):
        single = alone(model, bag)
        torch.testing.assert_close(together.logits[row], single.logits[0])
        for of_all, of_one in zip(maps(together), maps(single), strict=True):
            torch.testing.assert_close(of_all[row, : len(bag)], of_one[0])
        if single.instance_loss:
            losses.append(single.instance_loss(torch.tensor([1])))
    if together.instance_loss:
        whole = together.instance_loss(torch.ones(3, dtype=torch.int64))
        torch.testing.assert_close(whole, torch.stack(losses).mean())


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 17])
def test_any_bag_can_be_scored_in_any_precision(name: str, outputs: int, size: int) -> None:
    bag = torch.randn(size, WIDTH, generator=torch.Generator().manual_seed(size)) + 3
    model = built(name, [bag, bag + 1], outputs)
    exact = model.score(bag.half().float())
    half = model.score(bag.half())
    assert exact.logits.shape == (outputs,)
    assert np.isfinite(exact.logits).all()
    np.testing.assert_allclose(half.logits, exact.logits, rtol=1e-6)
    if exact.attention is not None:
        assert exact.attention.shape in {(size, 1), (size, outputs)}
    if exact.contributions is not None:
        assert exact.contributions.shape == (size, outputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model.score(bag.half())
    np.testing.assert_allclose(rough.logits, exact.logits, atol=0.1)
    if rough.attention is not None:
        np.testing.assert_allclose(rough.attention.sum(axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", POOLED)
def test_contributions_sum_to_the_logit_less_the_bias(
    name: str, outputs: int, bags: list[Tensor]
) -> None:
    model = built(name, bags, outputs)
    bias = model.classify.bias
    if name == "clam_mb" and outputs == 1:
        bias = bias.diff()
    if name == "dsmil":
        bias = (bias + model.judge_instance.bias) / 2
    result = model(*padded(bags))
    torch.testing.assert_close(result.contributions.sum(dim=1), result.logits - bias)


def test_additive_contributions_sum_to_the_logit(bags: list[Tensor]) -> None:
    result = built("additive_attention", bags)(*padded(bags))
    torch.testing.assert_close(result.contributions.sum(dim=1), result.logits)


@pytest.mark.parametrize("name", ["noisy_or", "trans_mil"])
def test_no_shares_are_claimed_where_none_are_defined(name: str, bags: list[Tensor]) -> None:
    assert maps(alone(built(name, bags), bags[0])) == []


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", ATTENDING)
def test_attention_is_a_distribution_over_the_bag(
    name: str, outputs: int, bags: list[Tensor]
) -> None:
    attention = built(name, bags, outputs)(*padded(bags)).attention
    assert (attention >= 0).all()
    torch.testing.assert_close(attention.sum(dim=1), torch.ones_like(attention[:, 0]))
    assert (attention[1, 0] == 1).all()  # the bag of one instance


def test_dropout_acts_in_training_only(name: str, bags: list[Tensor]) -> None:
    model = built(name, bags)
    assert torch.equal(alone(model, bags[0]).logits, alone(model, bags[0]).logits)
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dropped = torch.stack([alone(model, bags[0]).logits for _ in range(8)])
    assert dropped.std(dim=0) > 0


def gradients(model: Aggregator, bags: list[Tensor]) -> dict[str, Tensor]:
    model.requires_grad_(True).train().zero_grad()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        result = model(*padded(bags))
        loss = result.logits.square().sum()
        if result.instance_loss:
            loss = loss + result.instance_loss(torch.tensor([1, 0, 1]))
        loss.backward()
    return {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kept", [0, 10**9])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_what_is_computed_twice_is_what_was_computed_once(
    name: str, dropout: float, kept: int, bags: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built(name, bags, dropout=dropout)
    if not dropout:
        whole = gradients(model, bags)
    monkeypatch.setattr(chunked_map, "CHUNK", 2)
    if dropout:  # is drawn chunk by chunk
        whole = gradients(model, bags)
    monkeypatch.setattr(chunked_map, "RECOMPUTE_ABOVE", 1)
    monkeypatch.setattr(chunked_map, "KEPT_BYTES", kept)
    again = gradients(model, bags)
    assert whole.keys() == again.keys()
    for key, gradient in whole.items():
        torch.testing.assert_close(again[key], gradient, rtol=1e-4, atol=1e-6)


def test_gradient_is_that_of_finite_differences(name: str, bags: list[Tensor]) -> None:
    model = built(name, bags, dropout=0.0)
    instances, mask = padded([bags[0]])
    instances = instances.clone().requires_grad_(True)
    model.eval()
    model(instances, mask).logits.sum().backward()
    along = torch.randn(instances.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        step = 1e-2
        there, back = (model(instances + s * along, mask).logits for s in (step, -step))
    slope = float((there - back) / (2 * step))
    assert float((instances.grad * along).sum()) == pytest.approx(slope, rel=0.05, abs=2e-3)


def test_training_never_copies_a_bag(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 512 instances x 1,000, in chunks of 8, no tensor as large as a tenth of it is saved."""
    bag = torch.randn(512, 1000, generator=torch.Generator().manual_seed(1)).half()
    settings = MilSettings(aggregator=name, hidden=8, attention_width=4)
    model = build_aggregator(settings, 1000)
    monkeypatch.setattr(chunked_map, "CHUNK", 8)
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() != bag.untyped_storage().data_ptr():
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        alone(model, bag).logits.sum().backward()
    assert max(saved.values()) < bag.nbytes / 10


def test_mean_has_no_attention_and_weighs_all_alike(bags: list[Tensor]) -> None:
    model = built("mean", bags)
    result = alone(model, bags[0])
    assert result.attention is None
    each = torch.stack([alone(model, bags[0][i : i + 1]).logits[0] for i in range(SIZES[0])])
    torch.testing.assert_close(result.logits[0], each.mean(dim=0))


def test_max_is_the_largest_instance_and_it_carries_all(bags: list[Tensor]) -> None:
    model = built("max", bags)
    each = torch.stack([alone(model, bags[0][i : i + 1]).logits[0, 0] for i in range(SIZES[0])])
    result = alone(model, bags[0])
    assert result.logits.item() == pytest.approx(each.max().item(), rel=1e-5)
    assert result.contributions[0, :, 0].nonzero().flatten().tolist() == [int(each.argmax())]


@pytest.mark.parametrize(("most", "used"), [(3, 3), (0.3, 3), (0.01, 1), (100, 7)])
def test_top_k_is_the_mean_of_the_largest(most: float, used: int, bags: list[Tensor]) -> None:
    model = built("top_k", bags, top_k=most)
    each = torch.stack([alone(model, bags[0][i : i + 1]).logits[0, 0] for i in range(SIZES[0])])
    result = alone(model, bags[0])
    largest = each.topk(used)
    assert result.logits.item() == pytest.approx(largest.values.mean().item(), rel=1e-5)
    carrying = result.contributions[0, :, 0].nonzero().flatten().tolist()
    assert carrying == sorted(largest.indices.tolist())
    expected = (each[carrying] - model.classify.bias) / used
    torch.testing.assert_close(result.contributions[0, carrying, 0], expected)


def test_a_tenth_of_thirty_is_three() -> None:
    bag = torch.randn(30, WIDTH, generator=torch.Generator().manual_seed(2))
    contributions = alone(built("top_k", [bag], top_k=0.1), bag).contributions
    assert contributions.count_nonzero() == 3


def test_noisy_or_is_one_less_the_chance_that_all_fail() -> None:
    scores = torch.tensor([[-1.0, 0.5, -3.0], [2.0, -2.0, -1.0]])
    chance = 1 - (1 - torch.sigmoid(scores.double())).prod(dim=1)
    logit = noisy_or(scores[..., None], torch.ones(2, 3, dtype=torch.bool))[:, 0]
    torch.testing.assert_close(logit.double(), torch.logit(chance), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("score", "logit"),
    [
        # log(expm1(S)), where S = 1e5 * log1p(exp(score)), in float64
        (-30.0, -18.487074),
        (-11.512925, 0.5413177),
        (0.0, 69314.718),
        (30.0, 3000000.0),
        (-800.0, -688.487074),  # scores below -700 count as -700
    ],
)
def test_noisy_or_of_100_000_instances_in_float32(score: float, logit: float) -> None:
    scores = torch.full((1, 100_000, 1), score, requires_grad=True)
    result = noisy_or(scores, torch.ones(1, 100_000, dtype=torch.bool))
    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(logit, rel=1e-5)
    result.backward()
    assert torch.isfinite(scores.grad).all()


def test_attention_is_equation_8(bags: list[Tensor]) -> None:
    """Ilse et al. 2018, eq. 7 and 8: a_k = softmax(w . tanh(V h_k)), z = sum of a_k h_k."""
    model = built("attention", bags)
    state = weights(model)
    h = projected(state, bags[0])
    a = softmax(linear(state, "weigh", np.tanh(linear(state, "values", h))))
    logit = linear(state, "classify", (a * h).sum(axis=0))

    result = alone(model, bags[0])

    np.testing.assert_allclose(result.attention[0].numpy(), a, rtol=1e-5)
    np.testing.assert_allclose(result.logits[0].numpy(), logit, rtol=1e-5)


def test_gated_attention_is_equation_9(bags: list[Tensor]) -> None:
    """Ilse et al. 2018, eq. 7 and 9: a_k = softmax(w . (tanh(V h_k) * sigm(U h_k)))."""
    model = built("gated_attention", bags)
    state = weights(model)
    h = projected(state, bags[0])
    a = softmax(linear(state, "weigh", gate(state, h)))
    logit = linear(state, "classify", (a * h).sum(axis=0))

    result = alone(model, bags[0])

    np.testing.assert_allclose(result.attention[0].numpy(), a, rtol=1e-5)
    np.testing.assert_allclose(result.logits[0].numpy(), logit, rtol=1e-5)


def test_additive_attention_classifies_scaled_instances(bags: list[Tensor]) -> None:
    """Javed et al. 2022, eq. 4 and 5: the logit is the sum of p(a_k h_k)."""
    model = built("additive_attention", bags, outputs=3)
    state = weights(model)
    h = projected(state, bags[0])
    a = softmax(linear(state, "weigh", gate(state, h)))
    shares = linear(state, "contribute.2", np.maximum(0, linear(state, "contribute.0", a * h)))

    result = alone(model, bags[0])

    np.testing.assert_allclose(result.contributions[0].numpy(), shares, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "outputs"), [("clam_sb", 1), ("clam_mb", 1), ("clam_mb", 3)])
def test_clam_pools_each_class_by_its_branch(name: str, outputs: int, bags: list[Tensor]) -> None:
    """Lu et al. 2021, eq. 1 to 3: h_m = sum of a_k,m h_k; s_m = W_m h_m."""
    model = built(name, bags, outputs)
    state = weights(model)
    h = projected(state, bags[0])
    a = softmax(linear(state, "weigh", gate(state, h)))  # (N, branches)
    slides = a.T @ h  # (branches, hidden)
    scores = (state["classify.weight"] * slides).sum(axis=1) + state["classify.bias"]
    two_branches = name == "clam_mb" and outputs == 1

    result = alone(model, bags[0])

    np.testing.assert_allclose(
        result.logits[0].numpy(), np.diff(scores) if two_branches else scores, rtol=1e-4
    )
    reported = a[:, 1:] if two_branches else a
    np.testing.assert_allclose(result.attention[0].numpy(), reported, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 5, 40])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", ["clam_sb", "clam_mb"])
def test_clam_tells_most_attended_from_least(name: str, outputs: int, size: int) -> None:
    """Lu et al. 2021: smooth top-1 SVM loss, Berrada et al. 2018, eq. 5, tau = alpha = 1."""
    bag = torch.randn(size, WIDTH, generator=torch.Generator().manual_seed(4))
    model = built(name, [bag], outputs)
    state = weights(model)
    h = projected(state, bag)
    attention = softmax(linear(state, "weigh", gate(state, h)))
    classes = max(outputs, 2)
    scores = linear(state, "tell_apart", h).reshape(size, classes, 2)
    truth = 1

    def svm(of: NDArray[np.float64], target: int) -> float:
        margins = [np.exp((j != target) + of[j] - of[target]) for j in (0, 1)]
        return float(np.log(sum(margins)))

    losses = []
    for kind in range(classes):
        order = np.argsort(-attention[:, kind if name == "clam_mb" else 0])
        most, least = order[: min(8, -(-size // 2))], order[size - min(8, size // 2) :]
        if kind == truth:
            inside = [svm(scores[i, kind], 1) for i in most]
            losses.append(np.mean(inside + [svm(scores[i, kind], 0) for i in least]))
        elif classes > 2:
            losses.append(np.mean([svm(scores[i, kind], 0) for i in most]))

    loss = alone(model, bag).instance_loss(torch.tensor([truth]))

    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_dsmil_is_equations_2_to_7(bags: list[Tensor]) -> None:
    """Li et al. 2021: queries against the critical instance's, mean of both streams."""
    model = built("dsmil", bags)
    state = weights(model)
    h = projected(state, bags[0])
    scores = linear(state, "judge_instance", h)[:, 0]
    critical = scores.argmax()
    q = linear(state, "query", h)
    u = softmax(q @ q[critical] / np.sqrt(q.shape[1]))
    bag_score = linear(state, "classify", u @ h)[0]

    result = alone(model, bags[0])

    np.testing.assert_allclose(result.attention[0, :, 0].numpy(), u, rtol=1e-5)
    assert result.logits.item() == pytest.approx((scores.max() + bag_score) / 2, rel=1e-5)
    loss = result.instance_loss(torch.tensor([1])).item()
    assert loss == pytest.approx(np.log1p(np.exp(-scores.max())), rel=1e-5)


def wave(size: int, start: int = 0) -> Tensor:
    return torch.sin(torch.arange(size, dtype=torch.float32) * 0.7 + start)


def test_trans_mil_is_that_of_torchmil() -> None:
    """Nyström attention with one head, PPEG, class token: torchmil 1.0.2, `TransMIL`, att_dim 5.

    torchmil has neither the convolution over values nor an output projection, so here they do
    nothing; with 25 instances and 2 landmarks it adds no zeros to the sequence, as ours never does.
    """
    model = build_aggregator(MilSettings(aggregator="trans_mil", hidden=5), WIDTH).eval()
    model.requires_grad_(False)
    for number, (_, parameter) in enumerate(sorted(model.named_parameters())):
        parameter.copy_(0.5 * wave(parameter.numel(), number).view(parameter.shape))
    torch.nn.init.zeros_(model.first_attention.around.weight)
    for attention in (model.first_attention, model.second_attention):
        torch.nn.init.eye_(attention.out[0].weight)
        torch.nn.init.zeros_(attention.out[0].bias)
    torch.nn.init.eye_(model.project[0].weight)
    torch.nn.init.zeros_(model.project[0].bias)
    bag = torch.sin(torch.arange(22 * 5, dtype=torch.float32) * 0.9).view(22, 5)

    assert model.score(bag).logit == pytest.approx(1.0193069, rel=1e-6)
    more = torch.cat([bag, bag, bag[:4]])
    assert model.score(more).logit == pytest.approx(1.0184112, rel=1e-6)


def test_nystrom_attention_is_exact_where_each_token_is_a_landmark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        attention = nystrom_attention.NystromAttention(16, heads=2).eval().requires_grad_(False)
    tokens = 5 * torch.randn(1, 8, 16, generator=torch.Generator().manual_seed(1))
    exact = attention(tokens)
    monkeypatch.setattr(nystrom_attention, "_EXACT_UP_TO", 0)
    monkeypatch.setattr(nystrom_attention, "_STEPS_OF_INVERSION", 20)
    torch.testing.assert_close(attention(tokens), exact, rtol=0, atol=1e-3)


def test_the_class_token_sees_no_single_neighbours_and_instances_do() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        attention = nystrom_attention.NystromAttention(16, heads=2).eval().requires_grad_(False)
        alone = nystrom_attention.NystromAttention(16, 2, class_token_only=True).eval()
    alone.load_state_dict({k: v for k, v in attention.state_dict().items() if k != "around.weight"})
    tokens = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(alone(tokens), attention(tokens)[:, :1])
    before = attention(tokens)
    torch.nn.init.zeros_(attention.around.weight)
    assert (attention(tokens) - before)[:, 1:].abs().amin() > 0


def test_a_long_bag_is_scored_by_trans_mil(bags: list[Tensor]) -> None:
    long = torch.cat([bags[0]] * 40)
    model = built("trans_mil", bags)
    assert np.isfinite(model.score(long).logit)
    assert all(torch.isfinite(g).all() for g in gradients(model, [long] * 3).values())


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


@pytest.mark.parametrize("large", [1e30, -3e38, 2e19])
def test_embeddings_too_large_for_a_spread_are_refused(large: float) -> None:
    bag = torch.ones(5, 2)
    bag[3, 1] = large
    standardise = Standardiser(2)
    with pytest.raises(DataError, match="embeddings are too large: their spread") as refused:
        standardise.fit([torch.ones(4, 2), bag])
    assert "\n" not in str(refused.value)
    assert torch.equal(standardise.spread, torch.ones(2))


def test_large_embeddings_whose_spread_is_finite_are_standardised() -> None:
    bag = torch.tensor([[1.0], [-1.0]]) * 1e15
    standardise = Standardiser(1)
    standardise.fit([bag])
    torch.testing.assert_close(standardise(bag), torch.tensor([[1.0], [-1.0]]))


def test_a_setting_is_read_where_it_changes_the_model(name: str, bags: list[Tensor]) -> None:
    for setting, value in {"hidden": 12, "attention_width": 4, "top_k": 3}.items():
        one, other = built(name, bags), built(name, bags, **{setting: value})
        states = [{k: x.shape for k, x in model.state_dict().items()} for model in (one, other)]
        changed = states[0] != states[1] or any(
            not torch.equal(alone(one, bag).logits, alone(other, bag).logits) for bag in bags
        )
        assert changed == reads(name, setting), setting
