"""Codes are kinds of instances, found without labels."""

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from cmil.histograms.codebook import fit_codebook

CENTRES = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0]])


def drawn(counts: list[list[int]], seed: int = 0) -> list[torch.Tensor]:
    """A bag with so many instances around each centre, for each list of counts."""
    rng = np.random.default_rng(seed)
    return [
        torch.from_numpy(
            np.concatenate(
                [rng.normal(centre, 1, (n, 3)) for centre, n in zip(CENTRES, bag, strict=True)]
            ).astype(np.float32)
        )
        for bag in counts
    ]


@pytest.mark.parametrize("soft", [False, True])
def test_histogram_is_the_differential_count(soft: bool) -> None:
    bags = drawn([[30, 20, 10], [10, 40, 10], [20, 20, 20]])
    codebook = fit_codebook(bags, 3, np.random.default_rng(0), soft=soft)
    new = drawn([[50, 30, 20]], seed=1)[0]
    described = codebook.describe(new)
    np.testing.assert_allclose(sorted(described.values), [0.2, 0.3, 0.5], atol=1e-3)
    np.testing.assert_allclose(codebook.describe(new.repeat(2, 1)).values, described.values)
    weights = np.random.default_rng(1).normal(size=(3, 2))
    shares = described.shares(weights)
    np.testing.assert_allclose(shares.sum(axis=0), described.values @ weights)


def test_mixture_is_that_of_scikit_learn_where_instances_count_the_same() -> None:
    bags = drawn([[40, 40, 20]] * 3)
    codebook = fit_codebook(bags, 3, np.random.default_rng(0), soft=True)
    points = codebook.coordinates(torch.cat(bags))
    theirs = GaussianMixture(3, covariance_type="diag", tol=1e-6, random_state=0).fit(points)
    for ours, other in ((codebook.weights, theirs.weights_), (codebook.centres, theirs.means_)):
        np.testing.assert_allclose(np.sort(ours, axis=0), np.sort(other, axis=0), atol=1e-2)


def test_patients_count_the_same_however_large_their_bags() -> None:
    bags = drawn([[300, 0, 0], [0, 5, 5], [0, 5, 5]])
    codebook = fit_codebook(bags, 3, np.random.default_rng(0), soft=True)
    np.testing.assert_allclose(codebook.weights, [1 / 3] * 3, atol=1e-3)


def test_fewer_kinds_than_codes() -> None:
    bags = [torch.ones(4, 3), torch.zeros(2, 3)]
    for soft in (False, True):
        codebook = fit_codebook(bags, 10, np.random.default_rng(0), soft=soft)
        counts = sorted(codebook.describe(torch.cat(bags)).values)
        np.testing.assert_allclose(counts, [1 / 3, 2 / 3], atol=1e-6)


def test_stored_tensors_rebuild_it() -> None:
    bags = drawn([[9, 3, 3]] * 2)
    codebook = fit_codebook(bags, 3, np.random.default_rng(0), soft=True)
    again = type(codebook).of_tensors(codebook.tensors, soft=True)
    np.testing.assert_array_equal(again.describe(bags[0]).values, codebook.describe(bags[0]).values)
