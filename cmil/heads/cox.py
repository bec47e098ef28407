"""A time and an event: the partial likelihood of Cox."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cmil.concordance import concordance
from cmil.heads.head import Head
from cohorts.errors import DataError


@dataclass(frozen=True)
class Cox(Head):
    """One logit, the log hazard ratio against a patient whose logit is 0."""

    @classmethod
    def fit(cls, truth: NDArray[np.float64]) -> Self:
        """Check (n, 2) times and events: nothing of them has to be known.

        Raises
        ------
        DataError
            If no patient has the event.
        """
        if not truth[:, 1].any():
            raise DataError(f"none of {len(truth)} training patients has the event")
        return cls()

    @property
    def outputs(self) -> int:
        """One."""
        return 1

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Give the negative log partial likelihood of a batch, per event; 0 without one.

        Cox 1972 (JRSS B 34:187); ties by Efron 1977 (JASA 72:557), as R's `coxph`. The patients at
        risk are those of the batch.
        """
        time, event = truth[:, 0], truth[:, 1] == 1
        risk = logits[:, 0]
        relative = (risk - risk.detach().max()).exp()
        at_risk = (time[None, :] >= time[:, None]).to(risk.dtype)
        tied = ((time[None, :] == time[:, None]) & event[None, :]).to(risk.dtype)
        # The k-th of d events at one time (k from 0) leaves 1 - k/d of their hazard in the set.
        passed = tied.tril(-1).sum(dim=1) / tied.sum(dim=1).clamp_min(1)
        hazard = at_risk @ relative - passed * (tied @ relative)
        terms = risk - risk.detach().max() - hazard.clamp_min(1e-30).log()
        return -terms[event].sum() / event.sum().clamp_min(1)

    def rank(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the log hazard ratio itself."""
        return logits[:, 0]

    def slope(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give 1: the rank is the logit."""
        return np.ones_like(logits)

    def discrimination(self, logits: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
        """Give Harrell's concordance."""
        return concordance(logits[:, 0], truth[:, 0], truth[:, 1]).value
