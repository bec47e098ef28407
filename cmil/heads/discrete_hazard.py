"""A time and an event: hazards in intervals of time."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn

from cmil.concordance import concordance
from cmil.heads.head import Head
from cohorts.errors import DataError


@dataclass(frozen=True)
class DiscreteHazard(Head):
    """One logit an interval of time: the log-odds of the event there, given none before.

    Gensheimer & Narasimhan 2019 (PeerJ 7:e6257), eq. 4; the likelihood of Zadeh & Schmid 2020
    (IEEE TPAMI 43:3126). An interval is open on the left and closed on the right.

    Attributes
    ----------
    ends
        (K,) ends of the intervals, the first of which begins at 0.
    horizon
        Time by which the event counts in `rank`.
    """

    ends: tuple[float, ...]
    horizon: float

    @classmethod
    def fit(cls, truth: NDArray[np.float64], *, bins: int, horizon: float) -> Self:
        """Choose intervals that hold equally many of the training patients' events.

        Parameters
        ----------
        truth
            (n, 2) times and events of training patients only.

        Raises
        ------
        DataError
            If their events lie at too few different times.
        """
        times = truth[truth[:, 1] == 1, 0]
        different = len(np.unique(times))
        if different < bins:
            raise DataError(
                f"the events of {len(truth)} training patients lie at {different} different "
                f"times, too few for {bins} intervals; set time_bins to less"
            )
        ends = np.quantile(times, np.arange(1, bins + 1) / bins)
        if len(np.unique(np.searchsorted(ends, times))) < bins:  # many at one time
            ends = _ends_at_times(times, bins)
        return cls(tuple(ends.tolist()), horizon)

    @property
    def outputs(self) -> int:
        """One an interval."""
        return len(self.ends)

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Give the negative log-likelihood of a batch, per patient.

        A censored patient counts as having survived an interval if at least half of it was lived
        through.
        """
        time, event = truth[:, :1], truth[:, 1:] == 1
        ends = torch.tensor(self.ends, dtype=truth.dtype, device=truth.device)
        starts = torch.cat([ends.new_zeros(1), ends[:-1]])
        died = event & (starts < time) & (time <= ends)
        survived = torch.where(event, ends < time, (starts + ends) / 2 <= time)
        # -log h where the event was, -log(1 - h) in every interval survived, 0 afterwards.
        each = nn.functional.binary_cross_entropy_with_logits(
            logits,
            died.to(logits.dtype),
            weight=(died | survived).to(logits.dtype),
            reduction="sum",
        )
        return each / len(truth)

    def rank(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the log of the cumulative hazard by the horizon, or by the last interval's end.

        Within an interval the hazard is constant.
        """
        # -log(1 - h) is the cumulative hazard of an interval.
        return np.asarray(np.log(np.logaddexp(0, logits) @ self._lived()))

    def slope(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give h w over the sum of -w log(1 - h), w the share of an interval by the horizon."""
        lived = self._lived()
        return np.asarray(lived * expit(logits) / (np.logaddexp(0, logits) @ lived))

    def _lived(self) -> NDArray[np.float64]:
        """(K,) share of each interval that lies before the horizon."""
        ends = np.array(self.ends)
        starts = np.concatenate([[0], ends[:-1]])
        return np.asarray(np.clip((self.horizon - starts) / (ends - starts), 0, 1))

    def discrimination(self, logits: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
        """Give Harrell's concordance of the hazard by the horizon."""
        return concordance(self.rank(logits), truth[:, 0], truth[:, 1]).value


def _ends_at_times(times: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Cut behind times, so that each of `bins` intervals holds one, and about as many events."""
    values, counts = np.unique(times, return_counts=True)
    until, ends, first = counts.cumsum(), [], 0
    for number in range(1, bins):
        last = len(values) - (bins - number)  # each interval after this one needs a time
        place = first + int(np.argmin(np.abs(until[first:last] - number / bins * len(times))))
        ends.append(values[place])
        first = place + 1
    return np.array([*ends, values[-1]])
