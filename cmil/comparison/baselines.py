"""Simpler explanations of what is learnt: scores without an aggregator, on the folds of the model.

Whatever a baseline learns (scale, median, strength of the penalty, coefficients) it learns from
the training patients of a fold alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, softmax

from cmil.comparison.baseline_fits import (
    Fit,
    Truth,
    fit_penalised_regression,
    fit_prevalence,
    fit_regression,
    strata_of,
)
from cmil.instances import Instances, blocks_of
from cmil.patient_bags import PatientBags
from cohorts.errors import DataError

EMBEDDINGS = "mean and SD of embeddings"
BAG_SIZE = "bag size"
CENTRE = "centre"
COVARIATES = "covariates"

_BLOCK = 8192
# Closer logits than they are worked out are the same: a constant must not rank patients.
_DECIMALS = 9


@dataclass(frozen=True)
class Baseline:
    """A simpler explanation.

    Attributes
    ----------
    name
        As in the tables.
    inputs
        (n, d), in the order of the patients.
    fit
        Learns from inputs and truth of training patients and gives the logits of others:
        (m, d), (m, ...), (k, d), seed -> (k,) or (k, K), as in `baseline_fits`.
    """

    name: str
    inputs: NDArray[np.float64]
    fit: Fit


def baseline_scores(
    patients: pd.DataFrame,
    baselines: Sequence[Baseline],
    folds: Sequence["pd.Series[int]"],
    seed: int,
    classes: Sequence[str] = (),
) -> pd.DataFrame:
    """Score all patients with every baseline: development out of fold, external by one fit.

    A development patient's logit is the mean over `folds` of that of the fit which has not seen
    the patient; an external patient's comes from a fit to all development patients.

    Parameters
    ----------
    patients
        Indexed by patient_id: `centre, split`, and what is learnt: `label`, from 0, or, without
        one, the `time, event` of an endpoint.
    baselines
        With inputs in the order of `patients`.
    folds
        One assignment of development patients to folds for each repeat: those of the model.
    seed
        Of the splits within which a penalty is chosen.
    classes
        Names, if the label is of more than two.

    Returns
    -------
    DataFrame
        `patient_id, centre, split, score_kind, label, model, score`: one row a patient and
        baseline. The score is a probability for equally frequent classes; of more than two there
        is a `score_<class>` for each. Of an endpoint, `time, event` stand for the label and
        `risk`, a log hazard ratio, for the score.

    Raises
    ------
    DataError
        If a development patient is in no fold.
    """
    from threadpoolctl import threadpool_limits

    development = (patients["split"] == "development").to_numpy()
    learnt = ["label"] if "label" in patients else ["time", "event"]
    truth = patients[learnt].to_numpy()
    truth = truth if len(learnt) > 1 else truth[:, 0]
    dealt = [_folds_of(patients.index[development], fold_of) for fold_of in folds]
    tables = []
    for baseline in baselines:
        # Systems this small are solved sooner by one thread, and alike on every machine.
        with threadpool_limits(1):
            logits = _logits(baseline, truth, development, dealt, seed).round(_DECIMALS)
        tables.append(
            pd.DataFrame(
                {
                    "patient_id": patients.index,
                    "centre": patients["centre"].to_numpy(),
                    "split": patients["split"].to_numpy(),
                    "score_kind": np.where(development, "oof", "external"),
                    **{name: patients[name].to_numpy() for name in learnt},
                    "model": baseline.name,
                    **_scores(logits, truth, classes),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _scores(
    logits: NDArray[np.float64], truth: Truth, classes: Sequence[str]
) -> Mapping[str, NDArray[np.float64]]:
    if truth.ndim == 2:
        return {"risk": logits}
    if logits.ndim == 1:
        return {"score": expit(logits)}
    return {f"score_{n}": x for n, x in zip(classes, softmax(logits, axis=1).T, strict=True)}


def baselines_of(
    patients: pd.DataFrame, bags: PatientBags, covariates: Sequence[str]
) -> list[Baseline]:
    """Collect what each baseline may look at.

    Parameters
    ----------
    patients
        Indexed by patient_id, with `centre` and the covariates.
    bags
        At least theirs.
    covariates
        Numeric columns, NaN where missing; without any there is no such baseline.
    """
    of_patients = [bags.bags[str(patient)] for patient in patients.index]
    sizes = np.log([[float(len(bag))] for bag in of_patients])
    centres = pd.factorize(patients["centre"])[0].astype(float)[:, None]
    summaries = np.stack([embedding_summary(bag.rows) for bag in of_patients])
    known = [
        Baseline(EMBEDDINGS, summaries, fit_penalised_regression),
        Baseline(BAG_SIZE, sizes, fit_regression),
        Baseline(CENTRE, centres, fit_prevalence),
    ]
    if covariates:
        values = patients[list(covariates)].to_numpy(dtype=float)
        known.append(Baseline(COVARIATES, values, fit_regression))
    return known


def embedding_summary(instances: Instances) -> NDArray[np.float64]:
    """Mean and standard deviation (n) of each of D embedding dimensions, (2 D,).

    Parameters
    ----------
    instances
        (N, D) in any floating type; read in blocks, so that a bag of any size takes little memory.
    """
    total = square = np.zeros(instances.shape[1])
    for rows in blocks_of(instances, _BLOCK):
        block = instances[rows].double().numpy()
        total, square = total + block.sum(axis=0), square + np.square(block).sum(axis=0)
    mean = total / len(instances)
    variance = np.maximum(square / len(instances) - np.square(mean), 0)
    return np.concatenate([mean, np.sqrt(variance)])


def _logits(
    baseline: Baseline,
    truth: Truth,
    development: NDArray[np.bool_],
    dealt: Sequence[NDArray[np.int64]],
    seed: int,
) -> NDArray[np.float64]:
    known, learnt = baseline.inputs[development], truth[development]
    if learnt.ndim == 1:
        learnt = strata_of(learnt)
    of_external, *of_repeats = np.random.SeedSequence(seed).spawn(1 + len(dealt))
    several = (int(learnt.max()) + 1,) if learnt.ndim == 1 and learnt.max() > 1 else ()
    out_of_fold = np.zeros((len(dealt), len(known), *several))
    for repeat, (fold_of, drawn) in enumerate(zip(dealt, of_repeats, strict=True)):
        folds = np.unique(fold_of)
        for fold, of_fold in zip(folds, drawn.spawn(len(folds)), strict=True):
            held_out = fold_of == fold
            out_of_fold[repeat, held_out] = baseline.fit(
                known[~held_out], learnt[~held_out], known[held_out], of_fold
            )
    logits = np.empty((len(truth), *several))
    logits[development] = out_of_fold.mean(axis=0)
    if not development.all():
        external = baseline.inputs[~development]
        logits[~development] = baseline.fit(known, learnt, external, of_external)
    return logits


def _folds_of(patients: pd.Index, fold_of: "pd.Series[int]") -> NDArray[np.int64]:
    absent = patients.difference(fold_of.index)
    if len(absent):
        raise DataError(f'development patient "{absent[0]}" is in no fold of the model; run train')
    return np.asarray(fold_of[patients], dtype=np.int64)
