"""Every classifier a study may name gives finite logits, and the same ones again."""

from typing import get_args

import numpy as np
import pytest

from cmil.histograms.final_classifier import FinalClassifier
from cmil.histograms.settings import ClassifierName

NAMES = get_args(ClassifierName)


def drawn(classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % classes
    features = rng.normal(10, 0.01, (60, 3))
    features[:, 0] += 0.02 * labels
    features[:, 1] += 0.02 * (labels == 1)
    return features, labels


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 3])
def test_logits_tell_the_classes_apart(name: ClassifierName, classes: int) -> None:
    features, labels = drawn(classes)
    classifier = FinalClassifier(name, features, labels, 1)
    logits = classifier.logits(features)
    assert logits.shape == (60, 1 if classes == 2 else 3)
    assert np.isfinite(logits).all()
    called = (logits[:, 0] > 0) if classes == 2 else logits.argmax(axis=1)
    assert (called == labels).mean() > 0.7
    np.testing.assert_array_equal(
        FinalClassifier(name, features, labels, 1).logits(features), logits
    )


@pytest.mark.parametrize("name", ["logistic_regression", "linear_svm", "naive_bayes"])
@pytest.mark.parametrize("classes", [2, 3])
def test_weights_are_of_features_as_they_are(name: ClassifierName, classes: int) -> None:
    features, labels = drawn(classes)
    classifier = FinalClassifier(name, features, labels, 0)
    if name == "naive_bayes":
        assert classifier.weights is None
        return
    bias = classifier.logits(features) - features @ classifier.weights
    np.testing.assert_allclose(bias, np.broadcast_to(bias[0], bias.shape), atol=1e-8)
