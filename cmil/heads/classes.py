"""A label of more than two classes: cross-entropy, one class against the others."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp, softmax
from torch import Tensor, nn

from cmil.heads.head import Head
from cmil.validation.discrimination import auc_delong
from cohorts.errors import DataError


@dataclass(frozen=True)
class Classes(Head):
    """One logit a class; their softmax is the probability of each."""

    weights: tuple[float, ...]

    @classmethod
    def fit(cls, labels: NDArray[np.float64], *, balanced: bool) -> Self:
        """Weight patients so that all classes weigh the same, if `balanced`.

        Raises
        ------
        DataError
            If a class from 0 to the highest is absent.
        """
        counts = np.bincount(labels.astype(int))
        if len(counts) < 2 or not counts.all():
            absent = int(np.flatnonzero(counts == 0)[0]) if not counts.all() else 1
            raise DataError(f"no training patient is of class {absent}; every class is needed")
        weights = len(labels) / (len(counts) * counts) if balanced else np.ones(len(counts))
        return cls(tuple(weights.tolist()))

    @property
    def outputs(self) -> int:
        """One a class."""
        return len(self.weights)

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Give the cross-entropy of (B, K) logits and (B,) classes, weighted by class."""
        classes = truth.long()
        weights = torch.tensor(self.weights, dtype=logits.dtype, device=logits.device)
        each = nn.functional.cross_entropy(logits, classes, reduction="none")
        return (weights[classes] * each).mean()

    def rank(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the log-odds of the last class against all others."""
        return np.asarray(logits[:, -1] - logsumexp(logits[:, :-1], axis=1))

    def slope(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give 1 for the last class, and for the others less their softmax among themselves."""
        return np.append(-softmax(logits[:-1]), 1.0)

    def discrimination(self, logits: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
        """Give the mean AUC of each class against the others.

        Equals scikit-learn's `roc_auc_score(multi_class="ovr", average="macro")`; a class that is
        absent is left out.
        """
        scores = log_softmax(logits, axis=1)
        present = [k for k in range(self.outputs) if 0 < (truth == k).sum() < len(truth)]
        areas = [auc_delong(scores[:, k], truth == k).value for k in present]
        return float(np.mean(areas)) if areas else float("nan")
