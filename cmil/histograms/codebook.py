"""Kinds of instances found without labels: what a differential count is to a haematologist."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmil.histograms.bag_features import BagFeatures, coded
from cmil.histograms.instance_sample import (
    blocks,
    patient_of,
    weighted_moments,
)
from cmil.instances import Instances, drawn_from

# In hundreds of dimensions all distances are alike; kinds of cells part along the first axes.
_AXES = 32
_INSTANCES = 20_000
_ITERATIONS = 200
_SMALLEST_VARIANCE = 1e-3
_MIXTURE = ("code_centres", "code_variances", "code_weights")


@dataclass(frozen=True)
class Codebook:
    """K codes on the first principal axes of standardised embeddings.

    Attributes
    ----------
    axes, offset
        (A, D) and (A,) float32: the coordinates of an embedding h are axes h - offset.
    centres, variances, weights
        (K, A), (K, A) and (K,) float64: a Gaussian for each code and its share of all instances.
        Of k-means the variances are all 1 and the weights all 1 / K.
    soft
        Whether an instance is shared among the codes by their posteriors, or belongs to the
        likeliest: with k-means' variances and weights, the nearest.
    """

    axes: Tensor
    offset: Tensor
    centres: NDArray[np.float64]
    variances: NDArray[np.float64]
    weights: NDArray[np.float64]
    soft: bool

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All that has to be stored of it."""
        mixture = (self.centres, self.variances, self.weights)
        stored = {name: torch.from_numpy(v) for name, v in zip(_MIXTURE, mixture, strict=True)}
        return {"code_axes": self.axes, "code_offset": self.offset, **stored}

    @classmethod
    def of_tensors(cls, stored: Mapping[str, Tensor], *, soft: bool) -> "Codebook":
        """Rebuild it from its `tensors`."""
        centres, variances, weights = (stored[name].numpy() for name in _MIXTURE)
        axes, offset = stored["code_axes"], stored["code_offset"]
        return cls(axes, offset, centres, variances, weights, soft)

    def coordinates(self, instances: Tensor) -> NDArray[np.float64]:
        """(N, A) of (N, D) embeddings in any floating type."""
        parts = [instances[part].float() @ self.axes.T for part in blocks(len(instances))]
        return (torch.cat(parts) - self.offset).double().numpy()

    def describe(self, instances: Tensor) -> BagFeatures:
        """Share of a bag's instances, (N, D), in each of the K codes."""
        logs = _joint_logs(self.coordinates(instances), self.centres, self.variances, self.weights)
        if not self.soft:
            return coded(logs.argmax(axis=1), np.eye(len(self.centres)) / len(logs))
        shares = _posteriors(logs)[0] / len(logs)
        return BagFeatures(shares.sum(axis=0), lambda weights: shares @ weights)


def fit_codebook(
    bags: Sequence[Instances], codes: int, rng: np.random.Generator, *, soft: bool
) -> Codebook:
    """Find codes among the instances of training patients, without their labels.

    k-means (Arthur & Vassilvitskii 2007 for the start), and for soft counts a mixture of Gaussians
    with diagonal covariances, by expectation maximisation from the centres of k-means (Bishop 2006,
    *Pattern Recognition and Machine Learning*, eq. 9.23 to 9.27, instances weighted).

    Parameters
    ----------
    bags
        (N_i, D) of each training patient; of large ones as many instances are drawn as make
        20,000 in all. Every patient counts the same.
    codes
        K; fewer where there are fewer different instances.
    """
    from sklearn.cluster import KMeans

    drawn = [drawn_from(bag, max(1, _INSTANCES // len(bags)), rng) for bag in bags]
    patient = patient_of(drawn)
    instances = torch.cat([sample.float() for sample in drawn])
    weights = 1 / np.bincount(patient)[patient] / len(bags)
    axes, offset = _principal_axes(instances, torch.from_numpy(weights).float())
    points = (instances @ axes.T - offset).double().numpy()
    codes = min(codes, len(np.unique(points, axis=0)))
    seed = int(rng.integers(2**31))
    means = KMeans(codes, n_init=3, random_state=seed).fit(points, sample_weight=weights)
    centres = means.cluster_centers_.astype(np.float64)
    equal, ones = np.full(codes, 1 / codes), np.ones_like(centres)
    if not soft:
        return Codebook(axes, offset, centres, ones, equal, soft)
    within = np.average((points - centres[means.labels_]) ** 2, axis=0, weights=weights)
    start = np.maximum(within, _SMALLEST_VARIANCE) * ones
    return Codebook(axes, offset, *_fit_mixture(points, weights, (centres, start, equal)), soft)


_Mixture = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _fit_mixture(
    points: NDArray[np.float64], weights: NDArray[np.float64], mixture: _Mixture
) -> _Mixture:
    """Maximise expectations until the mean log-likelihood gains less than 1e-4."""
    reached = -np.inf
    for _ in range(_ITERATIONS):
        posteriors, likelihoods = _posteriors(_joint_logs(points, *mixture))
        before, reached = reached, float(weights @ likelihoods)
        if reached - before < 1e-4:
            break
        parts = posteriors * weights[:, None]
        # A code that loses all its instances keeps a trace, so that nothing is divided by zero.
        shares = np.maximum(parts.sum(axis=0), 1e-12)
        centres = parts.T @ points / shares[:, None]
        squares = parts.T @ points**2 / shares[:, None]
        variances = np.maximum(squares - centres**2, _SMALLEST_VARIANCE)
        mixture = (centres, variances, shares / shares.sum())
    return mixture


def _joint_logs(
    points: NDArray[np.float64],
    centres: NDArray[np.float64],
    variances: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Log density of each point and code together, (N, K), up to a constant."""
    precise = 1 / variances
    squares = (
        points**2 @ precise.T - 2 * points @ (centres * precise).T + (centres**2 * precise).sum(1)
    )
    logs: NDArray[np.float64] = np.log(weights) - (squares + np.log(variances).sum(1)) / 2
    return logs


def _posteriors(logs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Posteriors of the codes (N, K), and log-likelihoods (N,), from joint logs (N, K)."""
    highest = logs.max(axis=1, keepdims=True)
    joint = np.exp(logs - highest)
    total = joint.sum(axis=1, keepdims=True)
    return joint / total, (highest + np.log(total))[:, 0]


def _principal_axes(instances: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Axes (A, D) and offset (A,) of the largest variances of standardised embeddings."""
    mean, spread = (moment[0].float() for moment in weighted_moments(instances, weights[:, None]))
    standardised = (instances - mean) / spread
    covariance = (standardised * weights[:, None]).T @ standardised
    vectors = torch.linalg.eigh(covariance.double()).eigenvectors
    axes = vectors[:, -_AXES:].T.flip(0).float() / spread
    return axes, axes @ mean
