"""What every model of the cMIL family promises, and that its tensors are all of it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from cmil.histograms.fitting import fit_histogram_model
from cmil.histograms.histogram_model import HistogramModel
from cmil.histograms.settings import MEMBERS, HistogramSettings
from cmil.settings import MilSettings
from cohorts.errors import FileFormatError


@pytest.fixture(scope="module")
def fitted(draw_bags: Callable) -> Callable[..., HistogramModel]:
    cache: dict[str, HistogramModel] = {}

    def fit(member: str, classes: int = 2, **histogram: object) -> HistogramModel:
        key = f"{member}{classes}{histogram}"
        if key not in cache:
            bags, labels = draw_bags(12 * classes, classes=classes)
            chosen = HistogramSettings(codes=6, **histogram)
            settings = MilSettings(aggregator=member, histogram=chosen)
            cache[key] = fit_histogram_model(bags, labels, settings, np.random.SeedSequence(1))
        return cache[key]

    return fit


@pytest.fixture(params=[*MEMBERS, "gaussian_mixture"])
def model(request: pytest.FixtureRequest, fitted: Callable) -> HistogramModel:
    if request.param == "gaussian_mixture":
        return fitted("codebook", codebook="gaussian_mixture")
    return fitted(request.param)


@pytest.fixture
def bag(draw_bags: Callable) -> torch.Tensor:
    return draw_bags(2, seed=9)[0][1]


def test_order_of_instances_and_doubling_make_no_difference(
    model: HistogramModel, bag: torch.Tensor
) -> None:
    order = torch.randperm(len(bag), generator=torch.Generator().manual_seed(0))
    there, back, double = (model.score(b) for b in (bag, bag[order], bag.repeat(2, 1)))
    assert back.logit == pytest.approx(there.logit)
    np.testing.assert_allclose(back.contributions, there.contributions[order], atol=1e-6)
    assert double.logit == pytest.approx(there.logit)


def test_contributions_sum_to_the_logit_less_a_bias_that_all_bags_share(
    model: HistogramModel, bag: torch.Tensor
) -> None:
    scores = [model.score(b) for b in (bag, bag[:1], bag[:7], bag * 2)]
    biases = [score.logit - score.contributions.sum(dtype=np.float64) for score in scores]
    np.testing.assert_allclose(biases, biases[0], atol=1e-5)
    assert scores[1].contributions.shape == (1, 1)
    assert all(score.attention is None for score in scores)


def test_only_a_linear_classifier_gives_contributions(fitted: Callable, bag: torch.Tensor) -> None:
    assert fitted("cmil", classifier="linear_svm").score(bag).contributions is not None
    assert fitted("cmil", classifier="naive_bayes").score(bag).contributions is None


def test_bag_size_counts_only_where_it_is_asked_for(fitted: Callable, bag: torch.Tensor) -> None:
    model = fitted("likelihood_histogram", bag_size=True)
    assert model.training_features.shape[1] == len(model.selected) + 1
    np.testing.assert_allclose(model.training_features[:, -1], np.log(40))
    # Of all training bags being of one size, it has no weight.
    assert model.score(bag.repeat(2, 1)).logit == pytest.approx(model.score(bag).logit)


@pytest.mark.parametrize("member", ["cmil", "codebook"])
def test_more_classes_have_a_logit_each(fitted: Callable, draw_bags: Callable, member: str) -> None:
    bags, labels = draw_bags(30, classes=3, seed=4)
    scores = [fitted(member, classes=3).score(bag) for bag in bags]
    logits = np.stack([score.logits for score in scores])
    assert logits.shape == (30, 3)
    assert (logits.argmax(axis=1) == labels).mean() > 0.7
    rest = [s.logits - s.contributions.sum(axis=0, dtype=np.float64) for s in scores]
    np.testing.assert_allclose(rest, np.broadcast_to(rest[0], (30, 3)), atol=1e-5)


@pytest.mark.parametrize("classifier", ["logistic_regression", "extra_trees", "mlp"])
@pytest.mark.parametrize("member", ["cmil", "codebook"])
def test_tensors_are_all_of_it(
    fitted: Callable, bag: torch.Tensor, member: str, classifier: str
) -> None:
    model = fitted(member, classifier=classifier)
    chosen = HistogramSettings(codes=6, classifier=classifier)
    again = HistogramModel.restored(member, chosen, 6, model.state_dict())
    assert again.score(bag).logit == model.score(bag).logit


def test_classifier_that_comes_out_otherwise_is_refused_with_the_versions(
    fitted: Callable,
) -> None:
    state = dict(fitted("cmil").state_dict())
    state["training_logits"] = state["training_logits"] + 0.01
    state["fitted_by"] = torch.tensor(list(b"scikit-learn 0.99.1"), dtype=torch.uint8)
    with pytest.raises(FileFormatError, match=r"install scikit-learn 0\.99\.1, or train again"):
        HistogramModel.restored("cmil", HistogramSettings(codes=6), 6, state)


@pytest.mark.parametrize(("member", "width"), [("codebook", 6), ("cmil", 5)])
def test_tensors_of_another_model_are_refused(fitted: Callable, member: str, width: int) -> None:
    state = fitted("cmil").state_dict()
    with pytest.raises(RuntimeError, match=member):
        HistogramModel.restored(member, HistogramSettings(), width, state)
