"""Simpler explanations of a label: scores that need no aggregator, on the folds of the model.

Whatever a baseline learns (scale, median, strength of the penalty, coefficients) it learns from
the training patients of a fold alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from cmil.comparison.ridge_regression import ridge_logistic
from cmil.instances import Instances, blocks_of
from cmil.patient_bags import PatientBags
from cohorts.errors import DataError

EMBEDDINGS = "mean and SD of embeddings"
BAG_SIZE = "bag size"
CENTRE = "centre"
COVARIATES = "covariates"

# Embeddings are wider than cohorts are long: how much to shrink is chosen, from strong to weak.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_INNER_FOLDS = 3
_BLOCK = 8192
# Closer logits than they are worked out are the same: a constant must not rank patients.
_DECIMALS = 9

Fit = Callable[
    [NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], np.random.SeedSequence],
    NDArray[np.float64],
]


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
        Learns from inputs and labels of training patients and gives the logits of others:
        (m, d), (m,), (k, d), seed -> (k,).
    """

    name: str
    inputs: NDArray[np.float64]
    fit: Fit


def baseline_scores(
    patients: pd.DataFrame,
    baselines: Sequence[Baseline],
    folds: Sequence["pd.Series[int]"],
    seed: int,
) -> pd.DataFrame:
    """Score all patients with every baseline: development out of fold, external by one fit.

    A development patient's logit is the mean over `folds` of that of the fit which has not seen
    the patient; an external patient's comes from a fit to all development patients.

    Parameters
    ----------
    patients
        Indexed by patient_id: `centre, split, label`.
    baselines
        With inputs in the order of `patients`.
    folds
        One assignment of development patients to folds for each repeat: those of the model.
    seed
        Of the splits within which a penalty is chosen.

    Returns
    -------
    DataFrame
        `patient_id, centre, split, score_kind, label, model, score`: one row a patient and
        baseline. The score is a probability for equally frequent classes.

    Raises
    ------
    DataError
        If a development patient is in no fold.
    """
    from threadpoolctl import threadpool_limits

    development = (patients["split"] == "development").to_numpy()
    dealt = [_folds_of(patients.index[development], fold_of) for fold_of in folds]
    tables = []
    for baseline in baselines:
        # Systems this small are solved sooner by one thread, and alike on every machine.
        with threadpool_limits(1):
            logits = _logits(baseline, patients["label"].to_numpy(), development, dealt, seed)
        tables.append(
            pd.DataFrame(
                {
                    "patient_id": patients.index,
                    "centre": patients["centre"].to_numpy(),
                    "split": patients["split"].to_numpy(),
                    "score_kind": np.where(development, "oof", "external"),
                    "label": patients["label"].to_numpy(),
                    "model": baseline.name,
                    "score": expit(logits.round(_DECIMALS)),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


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


def fit_penalised_regression(
    inputs: NDArray[np.float64],
    labels: NDArray[np.int64],
    others: NDArray[np.float64],
    seed: np.random.SeedSequence,
) -> NDArray[np.float64]:
    """Logistic regression with a ridge penalty, its strength chosen within training.

    Classes weigh the same. The strength is that of `PENALTIES` with the least log loss in a
    stratified inner cross-validation, the strongest of equals. Standardised inputs are turned to
    the training patients' principal axes first: no ridge solution changes by it, and there are
    fewer axes than embedding dimensions. Where a class has one patient, there is nothing to choose
    by and the strongest penalty is taken.
    """
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(inputs)
    known = scaler.transform(inputs)
    axes = np.linalg.svd(known, full_matrices=False)[2].T
    known, unknown = known @ axes, scaler.transform(others) @ axes
    rarest = int(np.bincount(labels, minlength=2).min())
    loss = np.zeros(len(PENALTIES))
    if rarest > 1:
        drawn = int(seed.generate_state(1)[0])
        inner = StratifiedKFold(min(_INNER_FOLDS, rarest), shuffle=True, random_state=drawn)
        for kept, held_out in inner.split(known, labels):
            for i, penalty in enumerate(PENALTIES):
                logits = _ridge(penalty, known[kept], labels[kept], known[held_out])
                loss[i] += _log_loss(logits, labels[held_out])
    return _ridge(PENALTIES[int(np.argmin(loss))], known, labels, unknown)


def _ridge(
    penalty: float,
    inputs: NDArray[np.float64],
    labels: NDArray[np.int64],
    others: NDArray[np.float64],
) -> NDArray[np.float64]:
    coefficients, intercept = ridge_logistic(inputs, labels, penalty)
    return others @ coefficients + intercept


def _log_loss(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Mean over the classes of each one's mean loss."""
    losses = np.logaddexp(0, np.where(labels == 1, -logits, logits))
    return float(np.mean([losses[labels == label].mean() for label in np.unique(labels)]))


def fit_regression(
    inputs: NDArray[np.float64],
    labels: NDArray[np.int64],
    others: NDArray[np.float64],
    seed: np.random.SeedSequence,
) -> NDArray[np.float64]:
    """Logistic regression of few inputs, with a ridge penalty of 1, classes weighing the same.

    A missing value becomes the training patients' median, and that it was missing an input of its
    own; an input that no training patient has becomes 0.
    """
    del seed  # nothing is drawn
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    prepare = make_pipeline(imputer, StandardScaler()).fit(inputs)
    return _ridge(1.0, prepare.transform(inputs), labels, prepare.transform(others))


def fit_prevalence(
    inputs: NDArray[np.float64],
    labels: NDArray[np.int64],
    others: NDArray[np.float64],
    seed: np.random.SeedSequence,
) -> NDArray[np.float64]:
    """Log odds of the label in a patient's centre among the training patients.

    Classes weigh the same, so the prevalence of all training patients is one half; half a patient
    of each class is added to every centre. A centre without training patients has that prevalence:
    all patients of unseen centres score alike, and the AUC among them is one half.
    """
    del seed  # nothing is drawn
    weight = len(labels) / (2 * np.bincount(labels, minlength=2))
    logits = np.zeros(len(others))
    for centre in np.unique(inputs[:, 0]):
        negative, positive = np.bincount(labels[inputs[:, 0] == centre], minlength=2) * weight
        logits[others[:, 0] == centre] = np.log((positive + 0.5) / (negative + 0.5))
    return logits


def _logits(
    baseline: Baseline,
    labels: NDArray[np.int64],
    development: NDArray[np.bool_],
    dealt: Sequence[NDArray[np.int64]],
    seed: int,
) -> NDArray[np.float64]:
    known, truth = baseline.inputs[development], labels[development].astype(np.int64)
    of_external, *of_repeats = np.random.SeedSequence(seed).spawn(1 + len(dealt))
    out_of_fold = np.zeros((len(dealt), len(known)))
    for repeat, (fold_of, drawn) in enumerate(zip(dealt, of_repeats, strict=True)):
        folds = np.unique(fold_of)
        for fold, of_fold in zip(folds, drawn.spawn(len(folds)), strict=True):
            held_out = fold_of == fold
            out_of_fold[repeat, held_out] = baseline.fit(
                known[~held_out], truth[~held_out], known[held_out], of_fold
            )
    logits = np.empty(len(labels))
    logits[development] = out_of_fold.mean(axis=0)
    if not development.all():
        external = baseline.inputs[~development]
        logits[~development] = baseline.fit(known, truth, external, of_external)
    return logits


def _folds_of(patients: pd.Index, fold_of: "pd.Series[int]") -> NDArray[np.int64]:
    absent = patients.difference(fold_of.index)
    if len(absent):
        raise DataError(f'development patient "{absent[0]}" is in no fold of the model; run train')
    return np.asarray(fold_of[patients], dtype=np.int64)
