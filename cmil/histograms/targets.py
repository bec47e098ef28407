"""What a patient's patches and features are to tell: a class, or how early the event came."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cohorts.errors import DataError


@dataclass(frozen=True)
class Targets:
    """What is learnt of n training patients.

    Attributes
    ----------
    truth
        (n,) int64 labels, or (n, 2) float64 times and events.
    classes
        (n,) int64 class that a patient's instances inherit, 0 .. C-1.
    importance
        (n,) weight of a patient beside others of the class.
    """

    truth: NDArray[np.int64] | NDArray[np.float64]
    classes: NDArray[np.int64]
    importance: NDArray[np.float64]

    @property
    def residuals(self) -> NDArray[np.float64] | None:
        """(n,) martingale residuals of times and events; None of labels."""
        if self.truth.ndim == 1:
            return None
        return martingale_residuals(self.truth.astype(np.float64))


def targets_of(truth: ArrayLike) -> Targets:
    """Say what is to be learnt from labels, or from times and events.

    Instances inherit a label as it is. Of a time and event they inherit the sign of the
    martingale residual, with its size as the patient's importance: the direction in which the
    partial likelihood of Cox rises from the model without covariates is the sum of covariates
    times these residuals (Therneau et al. 1990, Biometrika 77:147). A patient censored early
    says next to nothing that way, and no horizon has to be chosen.

    Parameters
    ----------
    truth
        (n,) labels 0 .. C-1, or (n, 2) times and events.

    Raises
    ------
    DataError
        If a class has fewer than two patients.
    """
    known = np.asarray(truth, dtype=np.float64)
    if known.ndim == 1:
        labels = known.astype(np.int64)
        counts = np.bincount(labels, minlength=2)
        if counts.min() < 2:
            label = int(counts.argmin())
            raise DataError(
                f"label {label} has {counts[label]} training patients, and a histogram needs 2 of "
                "each to describe them out of fold: set folds to more, or give more patients"
            )
        return Targets(labels, labels, np.ones(len(labels)))
    residuals = martingale_residuals(known)
    early = (residuals > 0).astype(np.int64)
    if np.bincount(early, minlength=2).min() < 2:
        raise DataError(
            f"{int(known[:, 1].sum())} of {len(known)} training patients have the event; too few, "
            "or too many, to tell early from late: choose another endpoint"
        )
    return Targets(known, early, np.maximum(np.abs(residuals), 1e-6))


def martingale_residuals(truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Events seen less events expected by the time, of each patient, without covariates.

    event - H(time), H the cumulative hazard of Nelson and Aalen. Equals R's
    `residuals(coxph(Surv(time, event) ~ 1, ties = "breslow"), type = "martingale")`.

    Parameters
    ----------
    truth
        (n, 2) times and events.

    Returns
    -------
    (n,), at most 1, summing to 0.
    """
    time, event = truth[:, 0], truth[:, 1]
    at, of = np.unique(time, return_inverse=True)
    events = np.bincount(of, weights=event)
    at_risk = (time[None, :] >= at[:, None]).sum(axis=1)
    residuals: NDArray[np.float64] = event - np.cumsum(events / at_risk)[of]
    return residuals
