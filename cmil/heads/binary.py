"""A label of two values: logistic loss, AUC."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmil.heads.head import Head
from cmil.validation.discrimination import auc_delong
from cohorts.errors import DataError


@dataclass(frozen=True)
class Binary(Head):
    """One logit, the log-odds of label 1."""

    positive_weight: float = 1.0

    @classmethod
    def fit(cls, labels: NDArray[np.float64], *, balanced: bool) -> Self:
        """Weight patients of label 1 so that both labels weigh the same, if `balanced`.

        Raises
        ------
        DataError
            If a label is absent.
        """
        positive = float(labels.sum())
        if not 0 < positive < len(labels):
            raise DataError(
                f"all {len(labels)} training patients have label {int(labels[0])}; both labels are "
                "needed"
            )
        return cls((len(labels) - positive) / positive if balanced else 1.0)

    @property
    def outputs(self) -> int:
        """One."""
        return 1

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Give the cross-entropy of (B, 1) logits and (B,) labels."""
        return nn.functional.binary_cross_entropy_with_logits(
            logits[:, 0], truth, pos_weight=torch.tensor(self.positive_weight, device=truth.device)
        )

    def rank(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the logit itself."""
        return logits[:, 0]

    def slope(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give 1: the rank is the logit."""
        return np.ones_like(logits)

    def discrimination(self, logits: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
        """Give the AUC; NaN where a label is absent."""
        if len(np.unique(truth)) < 2:
            return float("nan")
        return auc_delong(logits[:, 0], truth).value
