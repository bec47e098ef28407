"""Fit a model of the cMIL family to the bags of its training patients."""

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from cmil.histograms.bag_features import BagFeatures
from cmil.histograms.codebook import fit_codebook
from cmil.histograms.cross_fitting import cross_fit
from cmil.histograms.feature_selection import select_features
from cmil.histograms.final_classifier import FinalClassifier
from cmil.histograms.histogram_model import (
    Description,
    HistogramModel,
    model_row,
    sklearn_version,
)
from cmil.histograms.instance_sample import draw_instances
from cmil.histograms.likelihood_description import LikelihoodDescription, Member
from cmil.settings import MilSettings
from cohorts.errors import DataError


def fit_histogram_model(
    bags: Sequence[Tensor],
    labels: Sequence[int],
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
    labels
        0 .. C-1 for each, each of at least two patients. Two give one logit, more give C.
    seed
        Source of samples, inner folds and what the classifier draws.
    on_epoch
        Called once, with the last epoch and the cross-entropy of the training patients.

    Raises
    ------
    DataError
        If a label has fewer than two patients, or nothing about the bags differs.
    """
    _refuse_too_few(labels)
    chosen = settings.histogram
    truth = np.asarray(labels, dtype=np.int64)
    rng = np.random.default_rng(seed)
    description, described = _describe_training(bags, labels, settings, rng)
    values = np.stack([features.values for features in described])
    selected = select_features(values, truth, chosen.inner_folds, rng)
    if not len(selected):
        raise DataError("the bags of all training patients are alike; there is nothing to learn")
    rows = np.stack(
        [
            model_row(features, selected, len(bag), bag_size=chosen.bag_size)
            for features, bag in zip(described, bags, strict=True)
        ]
    )
    drawn = int(rng.integers(2**31))
    logits = FinalClassifier(chosen.classifier, rows, truth, drawn).logits(rows)
    stored = {
        **description.tensors,
        "selected": torch.from_numpy(selected),
        "training_features": torch.from_numpy(rows),
        "training_labels": torch.from_numpy(truth),
        "training_logits": torch.from_numpy(logits),
        "seed": torch.tensor([drawn]),
        "sklearn_version": sklearn_version(),
    }
    on_epoch(settings.epochs - 1, _cross_entropy(stored["training_logits"], truth))
    return HistogramModel(settings.aggregator, chosen, stored)


def _describe_training(
    bags: Sequence[Tensor], labels: Sequence[int], settings: MilSettings, rng: np.random.Generator
) -> tuple[Description, list[BagFeatures]]:
    """Fit what describes bags, and describe the training patients' as if they were new."""
    chosen = settings.histogram
    if settings.aggregator == "codebook":
        soft = chosen.codebook == "gaussian_mixture"
        codebook = fit_codebook(bags, chosen.codes, rng, soft=soft)
        return codebook, [codebook.describe(bag) for bag in bags]
    samples = draw_instances(bags, settings.instances_per_bag, rng)
    fitted = cross_fit(bags, samples, labels, chosen.inner_folds, chosen.patch_penalty, rng)
    member = cast(Member, settings.aggregator)
    likelihoods = LikelihoodDescription.fit(fitted.classifier, fitted.likelihoods, member, chosen)
    return likelihoods, [likelihoods.describe_likelihoods(bag) for bag in fitted.likelihoods]


def _refuse_too_few(labels: Sequence[int]) -> None:
    counts = np.bincount(np.asarray(labels, dtype=np.int64), minlength=2)
    if counts.min() < 2:
        label = int(counts.argmin())
        raise DataError(
            f"label {label} has {counts[label]} training patients, and a histogram needs 2 of each "
            "to describe them out of fold: set folds to fewer, or give more patients"
        )


def _cross_entropy(logits: Tensor, labels: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> float:
    truth = torch.from_numpy(labels)
    if logits.shape[1] > 1:
        return float(torch.nn.functional.cross_entropy(logits, truth))
    target = truth.double()[:, None]
    return float(torch.nn.functional.binary_cross_entropy_with_logits(logits, target))
