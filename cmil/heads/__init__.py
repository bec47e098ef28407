"""Heads: what a model's logits are to predict. One small file each, one interface."""

import numpy as np
from numpy.typing import NDArray

from cmil.heads.binary import Binary
from cmil.heads.classes import Classes
from cmil.heads.cox import Cox
from cmil.heads.discrete_hazard import DiscreteHazard
from cmil.heads.head import Head
from cmil.settings import MilSettings

__all__ = ["Binary", "Classes", "Cox", "DiscreteHazard", "Head", "fit_head"]


def fit_head(truth: NDArray[np.float64], settings: MilSettings) -> Head:
    """Build the head a study names, for these training patients.

    Parameters
    ----------
    truth
        (n,) labels, or (n, 2) times and events, of training patients only: class weights and the
        intervals of time follow from them.

    Raises
    ------
    DataError
        If they lack a class, or events.
    """
    balanced = settings.balance == "loss"
    match settings.task:
        case "binary":
            return Binary.fit(truth, balanced=balanced)
        case "classes":
            return Classes.fit(truth, balanced=balanced)
        case "survival" if settings.survival_loss == "cox":
            return Cox.fit(truth)
        case "survival":
            return DiscreteHazard.fit(truth, bins=settings.time_bins, horizon=settings.horizon)
