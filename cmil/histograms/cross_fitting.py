"""Likelihoods for training patients from patch classifiers that have not seen the patient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmil.histograms.instance_sample import patient_of
from cmil.histograms.patch_classifier import PatchClassifier, fit_patch_classifiers
from cmil.histograms.targets import Targets
from cmil.instances import Instances
from cohorts.splits import stratified_folds


@dataclass(frozen=True)
class CrossFit:
    """A patch classifier for new patients, and what training patients look like to one.

    Attributes
    ----------
    classifier
        Fitted on all training patients. New patients get its likelihoods rather than the mean of
        the inner classifiers': a mean of several is less extreme than any of them, and its
        histogram narrower than those the patient's classifier was fitted on.
    likelihoods
        (N_i, C) for each training patient, by the inner classifier that has not seen the patient.
    """

    classifier: PatchClassifier
    likelihoods: Sequence[NDArray[np.float32]]


def cross_fit(
    bags: Sequence[Instances],
    samples: Sequence[Tensor],
    targets: Targets,
    folds: int,
    penalty: float,
    rng: np.random.Generator,
) -> CrossFit:
    """Fit patch classifiers on all patients, and on all but each inner fold.

    A classifier tells the instances of its own training patients apart too well. A histogram of
    such likelihoods separates the training patients as it separates no others (Chernozhukov et
    al. 2018, Econometrics J. 21:C1, sect. 1, on why nuisance fits must be cross-fitted).

    Parameters
    ----------
    bags
        One (N_i, D) tensor a patient, whose likelihoods are wanted.
    samples
        Instances of each that the classifiers learn from, (M_i, D).
    targets
        Of each patient. The patients of a class together weigh the same as those of another,
        each by its importance, and an instance the same as the patient's others.
    folds
        Inner folds, grouped by patient and stratified by class, each of which needs two patients.
    """
    fold_of = inner_folds(targets.classes, folds, rng)
    seen = np.stack([np.ones(len(bags)), *(fold_of != f for f in range(fold_of.max() + 1))], 1)
    patient = patient_of(samples)
    weights = _balanced(targets, seen)[patient] / np.bincount(patient)[patient, None]
    instances = torch.cat([sample.float() for sample in samples])
    on_all, *inner = fit_patch_classifiers(
        instances, targets.classes[patient], weights.astype(np.float32), penalty
    )
    likelihoods = [inner[f].likelihoods(bag) for f, bag in zip(fold_of, bags, strict=True)]
    return CrossFit(on_all, likelihoods)


def inner_folds(
    labels: NDArray[np.int64], folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Fold of each patient, (n,), stratified by label; see `cohorts.splits.stratified_folds`.

    There are fewer folds where a label has fewer patients.
    """
    folds = min(folds, int(np.bincount(labels).min()))
    patients = pd.DataFrame({"label": labels, "centre": ""})
    return stratified_folds(patients, folds, rng).to_numpy(dtype=np.int64)


def _balanced(targets: Targets, seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (n, F) by which all classes weigh the same in each fit, averaging 1 over the seen."""
    weights = seen * targets.importance[:, None]
    of_class = np.eye(targets.classes.max() + 1)[targets.classes]
    totals = of_class.T @ weights
    scale: NDArray[np.float64] = seen.sum(axis=0) / (len(totals) * totals)
    return weights * scale[targets.classes]
