"""One aggregator learns what is planted, and the same from the same seed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cmil.heads import fit_head
from cmil.instances import MappedInstances, placed_in_files
from cmil.settings import MilSettings
from cmil.training.fitting import Epoch, fit_aggregator, padded
from cmil.validation.discrimination import auc_delong

WIDTH = 4


def planted(labels: list[int], seed: int, instances: int = 10) -> list[Tensor]:
    """Noise; a positive bag holds one instance far from it, somewhere."""
    rng = np.random.default_rng(seed)
    bags = []
    for label in labels:
        bag = rng.normal(size=(instances, WIDTH))
        if label:
            bag[rng.integers(instances), 0] += 6
        bags.append(torch.tensor(bag, dtype=torch.float32))
    return bags


def seed(number: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(number)


def held_out_auc(settings: MilSettings, labels: list[int], instances: int = 10) -> float:
    model = fit_aggregator(planted(labels, 1, instances), labels, settings, seed(0))
    truth = [0, 1] * 20
    logits = [model.score(bag).logit for bag in planted(truth, 2, instances)]
    return auc_delong(logits, truth).value


@pytest.fixture
def learning() -> MilSettings:
    return MilSettings(
        folds=2, epochs=40, hidden=16, attention_width=8, learning_rate=0.01, bags_per_step=8
    )


def test_planted_instance_is_found_in_patients_not_seen(learning: MilSettings) -> None:
    assert held_out_auc(learning, [0, 1] * 20) > 0.9


def test_rare_positives_still_separate(learning: MilSettings) -> None:
    assert held_out_auc(learning, ([0] * 6 + [1]) * 6) > 0.9


def test_rare_positives_weigh_as_much_as_the_rest(learning: MilSettings) -> None:
    """Bags that say nothing get even odds; without the weights they would get 1 to 6."""
    labels = ([0] * 6 + [1]) * 3
    silent = [torch.zeros(3, WIDTH) for _ in labels]
    whole = learning.model_copy(update={"bags_per_step": len(labels), "dropout": 0.0})
    model = fit_aggregator(silent, labels, whole, seed(0))
    assert model.score(silent[0]).logit == pytest.approx(0, abs=0.2)


def test_large_bags_are_sampled_and_scored_whole(learning: MilSettings) -> None:
    # A planted instance is in half of the samples; over 40 epochs that is enough.
    sampled = learning.model_copy(update={"instances_per_bag": 10})
    assert held_out_auc(sampled, [0, 1] * 20, instances=20) > 0.9


def test_sample_differs_from_step_to_step(learning: MilSettings) -> None:
    """A single bag of two far instances, of which one is seen at a time: the loss goes to and fro.

    Were always the same instance drawn, another seed would give that of the other instance only.
    """
    bags = [torch.tensor([[5.0, 0, 0, 0], [-5.0, 0, 0, 0]]), torch.zeros(1, WIDTH)]
    settings = learning.model_copy(
        update={
            "instances_per_bag": 1,
            "epochs": 12,
            "dropout": 0.0,
            "learning_rate": 1e-9,
            "bags_per_step": 2,
        }
    )
    losses: list[float] = []
    fit_aggregator(bags, [1, 0], settings, seed(0), lambda epoch: losses.append(epoch.loss))
    assert len({round(loss, 5) for loss in losses}) == 2


def weights(labels: list[int], settings: MilSettings, number: int) -> dict[str, Tensor]:
    return fit_aggregator(planted(labels, 1), labels, settings, seed(number)).state_dict()


def test_same_seed_same_weights_other_seed_other_weights(learning: MilSettings) -> None:
    short = learning.model_copy(update={"epochs": 3, "instances_per_bag": 5})
    first, again, other = (weights([0, 1] * 6, short, number) for number in (4, 4, 5))
    assert all(torch.equal(first[name], again[name]) for name in first)
    learned = [name for name in first if not name.startswith(("standardise.", "level"))]
    assert not any(torch.equal(first[name], other[name]) for name in learned)


def test_global_generators_are_neither_read_nor_moved(learning: MilSettings) -> None:
    short = learning.model_copy(update={"epochs": 2})
    torch.manual_seed(1)
    first = weights([0, 1] * 4, short, 0)
    torch.manual_seed(2)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    second = weights([0, 1] * 4, short, 0)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_every_epoch_is_told_with_its_loss(learning: MilSettings) -> None:
    told: list[tuple[int, float]] = []
    labels = [0, 1] * 6
    fit_aggregator(
        planted(labels, 1),
        labels,
        learning,
        seed(0),
        lambda epoch: told.append((epoch.number, epoch.loss)),
    )
    assert [epoch for epoch, _ in told] == list(range(learning.epochs))
    assert told[-1][1] < told[0][1]


def test_model_is_handed_over_ready_to_score(learning: MilSettings) -> None:
    labels = [0, 1] * 2
    short = learning.model_copy(update={"epochs": 1})
    assert not fit_aggregator(planted(labels, 1), labels, short, seed(0)).training


def test_padding_is_zero_and_masked() -> None:
    instances, mask = padded([torch.ones(1, 2, dtype=torch.float16), torch.full((3, 2), 2.0)])
    assert instances.dtype == torch.float32
    assert mask.tolist() == [[True, False, False], [True, True, True]]
    assert instances[0].tolist() == [[1, 1], [0, 0], [0, 0]]
    assert instances[1].tolist() == [[2, 2]] * 3


def test_stops_when_the_inner_patients_gain_nothing_and_keeps_the_best(
    learning: MilSettings,
) -> None:
    """Labels without meaning: sooner or later the loss of those who watch rises."""
    labels = [0, 1] * 10
    bags = planted([0] * 20, 1)
    told: list[Epoch] = []
    settings = learning.model_copy(update={"patience": 3, "epochs": 200})
    fit_aggregator(bags, labels, settings, seed(0), told.append)
    watched = [epoch.watched_loss for epoch in told]
    best = int(np.argmin(watched))
    assert len(told) == best + 1 + 3 < 200
    assert not any(np.isnan(epoch.watched_discrimination) for epoch in told)
    # The model handed over is that of the best epoch: training exactly so long gives the same.
    again: list[Epoch] = []
    constant = settings.model_copy(update={"schedule": "constant"})
    model = fit_aggregator(bags, labels, constant, seed(0), again.append)
    best = int(np.argmin([epoch.watched_loss for epoch in again]))
    shorter = constant.model_copy(update={"epochs": best + 1})
    other = fit_aggregator(bags, labels, shorter, seed(0))
    ours, theirs = model.state_dict(), other.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_even_draw_serves_rare_positives_as_well_as_weights(learning: MilSettings) -> None:
    even = learning.model_copy(update={"balance": "sampling"})
    assert held_out_auc(even, ([0] * 6 + [1]) * 6) > 0.9


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": "sgd", "learning_rate": 0.1},
        {"schedule": "constant"},
        {"instance_dropout": 0.3},
        {"layers": (12,)},
        {"precision": "bfloat16"},
    ],
)
def test_other_ways_of_training_learn_too(
    learning: MilSettings, changes: dict[str, object]
) -> None:
    assert held_out_auc(learning.model_copy(update=changes), [0, 1] * 20) > 0.9


def test_mapped_instances_teach_the_same(learning: MilSettings, tmp_path: Path) -> None:
    short = learning.model_copy(update={"epochs": 3, "instances_per_bag": 5})
    bags = planted([0, 1] * 4, 1)
    halves = {str(i): [bag[:4].numpy(), bag[4:].numpy()] for i, bag in enumerate(bags)}
    placed = placed_in_files(halves, tmp_path / "spill")
    mapped = [MappedInstances([rows.mapped() for rows in of]) for of in placed.values()]
    one, other = (
        fit_aggregator(x, [0, 1] * 4, short, seed(0)).state_dict() for x in (bags, mapped)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def of_an_endpoint(**changed: object) -> MilSettings:
    learnt = {"task": "survival", "endpoint": "os", "horizon": 3.0, "aggregator": "mean"}
    return MilSettings(**{**learnt, "epochs": 3, "hidden": 4, **changed})


def endpoint_of(patients: int) -> np.ndarray:
    rng = np.random.default_rng(8)
    return np.stack([rng.exponential(5, patients), np.arange(patients) % 4 > 0], axis=1)


def noise_bags(patients: int) -> list[Tensor]:
    return list(torch.randn(patients, 5, WIDTH, generator=torch.Generator().manual_seed(3)))


def test_log_hazards_of_training_patients_are_level() -> None:
    bags, truth = noise_bags(20), endpoint_of(20)
    seed = np.random.SeedSequence(2)
    model = fit_aggregator(bags, truth, of_an_endpoint(), seed)
    logits = [model.score(bag).logit for bag in bags]
    assert np.ptp(logits) > 0
    assert np.mean(logits) == pytest.approx(0, abs=1e-5)


def test_who_stops_the_training_is_judged_by_the_same_intervals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The intervals a model is read with follow from all of its training patients."""
    truth = endpoint_of(40)
    settings = of_an_endpoint(survival_loss="discrete_hazard", patience=2)
    used = []

    def noted(*arguments: object) -> object:
        used.append(fit_head(*arguments))
        return used[-1]

    monkeypatch.setattr("cmil.training.fitting.fit_head", noted)
    fit_aggregator(noise_bags(40), truth, settings, np.random.SeedSequence(2))
    assert [head.ends for head in used] == [fit_head(truth, settings).ends]
