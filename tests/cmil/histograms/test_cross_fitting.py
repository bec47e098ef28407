"""No patient's likelihoods come from a classifier that learnt from the patient."""

from collections.abc import Callable

import numpy as np
import torch

from cmil.histograms.cross_fitting import cross_fit, inner_folds
from cmil.histograms.targets import targets_of


def test_what_a_patient_teaches_does_not_reach_the_patients_own_likelihoods(
    draw_bags: Callable,
) -> None:
    bags, labels = draw_bags(12)
    clean = cross_fit(bags, bags, targets_of(labels), 3, 1.0, np.random.default_rng(5))
    fold_of = inner_folds(np.array(labels), 3, np.random.default_rng(5))
    samples = [*bags[:4], bags[4] * -7 + 3, *bags[5:]]
    spoilt = cross_fit(bags, samples, targets_of(labels), 3, 1.0, np.random.default_rng(5))
    for patient in range(12):
        moved = np.abs(spoilt.likelihoods[patient] - clean.likelihoods[patient]).max()
        assert (moved > 1e-3) == (fold_of[patient] != fold_of[4])


def test_patients_count_the_same_however_many_instances_they_have(draw_bags: Callable) -> None:
    bags, labels = draw_bags(12)
    larger = [bags[0].repeat(9, 1), *bags[1:]]
    rngs = np.random.default_rng(5), np.random.default_rng(5)
    one, other = (
        cross_fit(b, b, targets_of(labels), 3, 1.0, r)
        for b, r in zip((bags, larger), rngs, strict=True)
    )
    torch.testing.assert_close(one.classifier.weight, other.classifier.weight, rtol=1e-2, atol=1e-4)


def test_of_noise_only_seen_likelihoods_tell_labels_apart(
    draw_bags: Callable, auc: Callable
) -> None:
    bags, labels = draw_bags(40, size=15, width=60, shift=0)
    fitted = cross_fit(bags, bags, targets_of(labels), 5, 0.01, np.random.default_rng(0))
    seen = [fitted.classifier.likelihoods(bag)[:, 1].mean() for bag in bags]
    held_out = [likelihoods[:, 1].mean() for likelihoods in fitted.likelihoods]
    assert auc(seen, labels) > 0.95
    assert auc(held_out, labels) < 0.7


def test_folds_are_as_many_as_the_rarer_label_allows() -> None:
    fold_of = inner_folds(np.array([0] * 9 + [1] * 2), 5, np.random.default_rng(0))
    assert set(fold_of) == {0, 1}
    assert set(fold_of[-2:]) == {0, 1}
