"""Members of the cMIL family learn what is there, and nothing where nothing is."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from lifelines.utils import concordance_index

from cmil.histograms.fitting import fit_histogram_model
from cmil.histograms.settings import MEMBERS, HistogramSettings
from cmil.settings import MilSettings
from cohorts.errors import DataError


def fitted(bags, labels, member="cmil", seed=0, **rest):
    settings = MilSettings(aggregator=member, histogram=HistogramSettings(codes=6), **rest)
    return fit_histogram_model(bags, labels, settings, np.random.SeedSequence(seed))


@pytest.mark.parametrize("member", MEMBERS)
def test_planted_instances_are_found_in_new_patients(
    draw_bags: Callable, auc: Callable, member: str
) -> None:
    model = fitted(*draw_bags(24), member)
    bags, labels = draw_bags(40, seed=1)
    scores = [model.score(bag) for bag in bags]
    assert auc([score.logit for score in scores], labels) > 0.9
    # The first 12 instances of a positive patient are the planted ones.
    shares = np.stack([score.contributions[:, 0] for score in scores[1::2]])
    assert shares[:, :12].mean() > shares[:, 12:].mean()


@pytest.mark.parametrize("member", MEMBERS)
def test_same_seed_same_model_and_global_generators_untouched(
    draw_bags: Callable, member: str
) -> None:
    bags, labels = draw_bags(16)
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
    one, other = (fitted(bags, labels, member, instances_per_bag=20) for _ in range(2))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_training_patients_do_not_look_better_than_new_ones(
    draw_bags: Callable, auc: Callable
) -> None:
    """Of noise, in-sample likelihoods tell the training patients apart; ours must not.

    What the classifier itself makes of 20 bins remains: one AUC of 30 against 30 without signal
    has a standard deviation of 0.075.
    """
    bags, labels = draw_bags(60, size=15, width=80, shift=0)
    model = fitted(bags, labels, "likelihood_histogram")
    reached = auc(model.training_logits[:, 0].numpy(), labels)
    naive = auc([model.description.classifier.likelihoods(b)[:, 1].mean() for b in bags], labels)
    assert naive > 0.9
    assert reached < 0.85


def test_one_word_of_progress(draw_bags: Callable) -> None:
    told = []
    bags, labels = draw_bags(12)
    settings = MilSettings(aggregator="codebook", epochs=7)
    fit_histogram_model(
        bags, labels, settings, np.random.SeedSequence(0), lambda *what: told.append(what)
    )
    ((epoch, loss),) = told
    assert epoch == 6
    assert 0 < loss < np.log(2)


@pytest.mark.parametrize("labels", [[0] * 8, [0] * 7 + [1], [1] + [0] * 7])
def test_too_few_patients_of_a_label_are_refused(draw_bags: Callable, labels: list[int]) -> None:
    with pytest.raises(DataError, match=f"label 1 has {sum(labels)} training patients"):
        fitted(draw_bags(8)[0], labels)


@pytest.mark.parametrize("member", ["codebook", "likelihood_histogram"])
def test_bags_that_are_all_alike_are_refused(member: str) -> None:
    with pytest.raises(DataError, match="alike"):
        fitted([torch.ones(3, 4)] * 8, [0, 1] * 4, member)


@pytest.mark.parametrize("member", MEMBERS)
def test_times_and_events_give_a_log_hazard_ratio(draw_bags: Callable, member: str) -> None:
    def outcomes(labels: list[int], seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        time = rng.exponential(1 / np.exp(3 * np.array(labels)))
        last = rng.uniform(0, 3, len(labels))
        return np.stack([np.minimum(time, last) + 0.01, time <= last], axis=1).astype(float)

    bags, labels = draw_bags(60)
    model = fitted(bags, outcomes(labels, 0), member)
    others, labels = draw_bags(60, seed=3)
    scores = [model.score(bag) for bag in others]
    time, event = outcomes(labels, 5).T
    assert concordance_index(time, [-score.logit for score in scores], event) > 0.65
    rest = [score.logit - score.contributions.sum(dtype=np.float64) for score in scores]
    np.testing.assert_allclose(rest, rest[0], atol=1e-5)
