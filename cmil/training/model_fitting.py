"""Fit the model a study names, or rebuild it: a network, or one of the cMIL family."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmil.aggregators import BagModel, build_aggregator
from cmil.heads import fit_head
from cmil.histograms.fitting import fit_histogram_model
from cmil.histograms.histogram_model import HistogramModel
from cmil.histograms.settings import MEMBERS
from cmil.histograms.targets import targets_of
from cmil.instances import Instances
from cmil.settings import MilSettings
from cmil.training.fitting import CPU, Epoch, fit_aggregator, inner_split


def fit_model(
    bags: Sequence[Instances],
    truth: NDArray[np.float64],
    settings: MilSettings,
    seed: np.random.SeedSequence,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    device: torch.device = CPU,
) -> BagModel:
    """Fit what `settings.aggregator` names to training patients.

    Parameters, and what is raised: see `cmil.training.fitting.fit_aggregator` and
    `cmil.histograms.fitting.fit_histogram_model`.
    """
    if settings.aggregator not in MEMBERS:
        return fit_aggregator(bags, truth, settings, seed, on_epoch, device)

    def told(number: int, loss: float) -> None:
        on_epoch(Epoch(number, loss, math.nan))

    return fit_histogram_model(bags, truth, settings, seed, told)


def refuse_unfit(truth: NDArray[np.float64], settings: MilSettings) -> None:
    """Refuse training patients whom `fit_model` would refuse, without fitting anything.

    Raises
    ------
    DataError
        If they lack a class or events, or are too few to stop by, or to describe out of fold.
    """
    fit_head(truth, settings)
    if settings.aggregator in MEMBERS:
        targets_of(truth)
    else:
        inner_split(truth, settings, np.random.default_rng(0))


def rebuild_model(
    settings: MilSettings, dimension: int, outputs: int, stored: Mapping[str, Tensor]
) -> BagModel:
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
    model = build_aggregator(settings, dimension, outputs)
    model.load_state_dict(dict(stored))
    return model.eval()
