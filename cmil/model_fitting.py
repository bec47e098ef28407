"""Fit the model a study names, or rebuild it: a network, or one of the cMIL family."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from cmil.aggregators import BagModel, build_aggregator
from cmil.fitting import fit_aggregator
from cmil.histograms.fitting import fit_histogram_model
from cmil.histograms.histogram_model import HistogramModel
from cmil.histograms.settings import MEMBERS
from cmil.settings import MilSettings


def fit_model(
    bags: Sequence[Tensor],
    labels: Sequence[int],
    settings: MilSettings,
    seed: np.random.SeedSequence,
    on_epoch: Callable[[int, float], None] = lambda _epoch, _loss: None,
) -> BagModel:
    """Fit what `settings.aggregator` names to training patients.

    Parameters, and what is raised: see `cmil.fitting.fit_aggregator` and
    `cmil.histograms.fitting.fit_histogram_model`.
    """
    fit = fit_histogram_model if settings.aggregator in MEMBERS else fit_aggregator
    return fit(bags, labels, settings, seed, on_epoch)


def rebuild_model(settings: MilSettings, dimension: int, stored: Mapping[str, Tensor]) -> BagModel:
    """Rebuild the model whose state_dict `stored` is.

    Raises
    ------
    RuntimeError
        If the tensors are those of another aggregator or width.
    FileFormatError
        If this scikit-learn fits another classifier than the one that was stored.
    """
    if settings.aggregator in MEMBERS:
        return HistogramModel.restored(settings.aggregator, settings.histogram, dimension, stored)
    model = build_aggregator(settings, dimension)
    model.load_state_dict(dict(stored))
    return model.eval()
