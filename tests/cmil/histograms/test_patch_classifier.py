"""The patch classifier is a penalised softmax regression in which patients count the same."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from cmil.histograms.patch_classifier import fit_patch_classifiers

ROWS, WIDTH = 300, 4


@pytest.fixture
def instances() -> torch.Tensor:
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.normal(50, [1, 0.1, 30, 2], (ROWS, WIDTH)).astype(np.float32))


@pytest.mark.parametrize("classes", [2, 3])
def test_equals_logistic_regression_of_scikit_learn(instances: torch.Tensor, classes: int) -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(classes, size=ROWS)
    weights = rng.uniform(0.1, 1, (ROWS, 2)).astype(np.float32)
    fitted = fit_patch_classifiers(instances, truth, weights, penalty=0.5)
    x = instances.double().numpy()
    for column, ours in zip(weights.T, fitted, strict=True):
        mean = np.average(x, axis=0, weights=column)
        spread = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=column))
        # Two symmetric columns of weights are penalised half as much as the one they stand for.
        ridge = 0.5 * WIDTH / (2 if classes == 2 else 1)
        theirs = LogisticRegression(C=1 / ridge, tol=1e-10, max_iter=5000)
        theirs.fit((x - mean) / spread, truth, sample_weight=column)
        expected = theirs.predict_proba((x - mean) / spread)
        np.testing.assert_allclose(ours.likelihoods(instances), expected, atol=2e-3)


def test_weight_of_zero_hides_an_instance(instances: torch.Tensor) -> None:
    truth = np.arange(ROWS) % 2
    weights = np.ones((ROWS, 1), dtype=np.float32)
    weights[100:] = 0
    whole = fit_patch_classifiers(instances, truth, weights, 1.0)[0]
    part = fit_patch_classifiers(instances[:100], truth[:100], weights[:100], 1.0)[0]
    torch.testing.assert_close(whole.weight, part.weight, rtol=1e-3, atol=1e-5)


def test_likelihoods_are_those_of_its_weights_whatever_the_precision(
    instances: torch.Tensor,
) -> None:
    truth = np.arange(ROWS) % 2
    fitted = fit_patch_classifiers(instances, truth, np.ones((ROWS, 1), np.float32), 1.0)[0]
    half = instances.half()
    logits = half.double().numpy() @ fitted.weight.double().numpy().T + fitted.bias.numpy()
    np.testing.assert_allclose(fitted.likelihoods(half), softmax(logits, axis=1), atol=1e-4)
