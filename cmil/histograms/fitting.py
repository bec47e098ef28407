"""Fit a model of the cMIL family to the bags of its training patients."""

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from cmil.histograms.bag_features import BagFeatures
from cmil.histograms.codebook import fit_codebook
from cmil.histograms.cross_fitting import cross_fit
from cmil.histograms.feature_selection import select_features
from cmil.histograms.final_classifier import fit_final, fitted_by
from cmil.histograms.histogram_model import (
    Description,
    HistogramModel,
    ascii_codes,
    model_row,
)
from cmil.histograms.likelihood_description import LikelihoodDescription, Member
from cmil.histograms.targets import Targets, targets_of
from cmil.instances import Instances, drawn_from
from cmil.settings import MilSettings
from cohorts.errors import DataError


def fit_histogram_model(
    bags: Sequence[Instances],
    truth: ArrayLike,
    settings: MilSettings,
    seed: np.random.SeedSequence,
    on_epoch: Callable[[int, float], None] = lambda _epoch, _loss: None,
) -> HistogramModel:
    """Describe every patient by a histogram, select features, fit a classifier.

    Cao et al. 2020 (Theranostics 10:11080) and the papers after it, with their flaws mended:
    training patients are described by likelihoods that are out of fold, by shares instead of
    counts, and everything is fitted on the patients given here.

    Parameters
    ----------
    bags
        One (N, D) tensor a patient, N at least 1; of large ones `instances_per_bag` are drawn
        for the patch classifier to learn from. All are described.
    truth
        (n,) labels 0 .. C-1, each of at least two patients: two give one logit, more give C. Or
        (n, 2) times and events, which give one, the log hazard ratio; the classifier is then a
        Cox model.
    seed
        Source of samples, inner folds and what the classifier draws.
    on_epoch
        Called once, with the last epoch and the loss of the training patients: cross-entropy,
        or what concordance (Harrell's) lacks to 1.

    Raises
    ------
    DataError
        If a label has fewer than two patients, there are too few events, or nothing about the
        bags differs.
    """
    targets, chosen = targets_of(truth), settings.histogram
    rng = np.random.default_rng(seed)
    description, described = _describe_training(bags, targets, settings, rng)
    values = np.stack([features.values for features in described])
    selected = select_features(values, targets, chosen.inner_folds, rng)
    if not len(selected):
        raise DataError("the bags of all training patients are alike; there is nothing to learn")
    rows = np.stack(
        [
            model_row(features, selected, len(bag), bag_size=chosen.bag_size)
            for features, bag in zip(described, bags, strict=True)
        ]
    )
    drawn = int(rng.integers(2**31))
    logits = fit_final(chosen.classifier, rows, targets.truth, drawn).logits(rows)
    stored = {
        **description.tensors,
        "selected": torch.from_numpy(selected),
        "training_features": torch.from_numpy(rows),
        "training_truth": torch.from_numpy(targets.truth),
        "training_logits": torch.from_numpy(logits),
        "seed": torch.tensor([drawn]),
        "fitted_by": ascii_codes(fitted_by(targets.truth)),
    }
    on_epoch(settings.epochs - 1, _loss(logits, targets))
    return HistogramModel(settings.aggregator, chosen, stored)


def _describe_training(
    bags: Sequence[Instances], targets: Targets, settings: MilSettings, rng: np.random.Generator
) -> tuple[Description, list[BagFeatures]]:
    """Fit what describes bags, and describe the training patients' as if they were new."""
    chosen = settings.histogram
    if settings.aggregator == "codebook":
        soft = chosen.codebook == "gaussian_mixture"
        codebook = fit_codebook(bags, chosen.codes, rng, soft=soft)
        return codebook, [codebook.describe(bag[:]) for bag in bags]
    samples = [drawn_from(bag, settings.instances_per_bag, rng) for bag in bags]
    fitted = cross_fit(bags, samples, targets, chosen.inner_folds, chosen.patch_penalty, rng)
    member = cast(Member, settings.aggregator)
    likelihoods = LikelihoodDescription.fit(fitted.classifier, fitted.likelihoods, member, chosen)
    return likelihoods, [likelihoods.describe_likelihoods(bag) for bag in fitted.likelihoods]


def _loss(logits: NDArray[np.float64], targets: Targets) -> float:
    if targets.truth.ndim == 2:
        from lifelines.utils import concordance_index

        time, event = targets.truth.T
        return 1 - float(concordance_index(time, -logits[:, 0], event))
    known = torch.from_numpy(logits)
    if logits.shape[1] == 1:
        known = torch.cat([torch.zeros_like(known), known], dim=1)
    return float(torch.nn.functional.cross_entropy(known, torch.from_numpy(targets.classes)))
