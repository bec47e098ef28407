"""Cross-validate on the development patients, and freeze what the out-of-fold scores decide."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cmil import __version__
from cmil.aggregators import BagModel
from cmil.bundle import (
    WEIGHTS,
    ModelBundle,
    ModelFacts,
    OutOfFold,
    load_weights,
    save_weights,
    write_facts,
)
from cmil.calibration import fit_platt
from cmil.discrimination import auc_delong
from cmil.model_card import write_model_card
from cmil.model_fitting import fit_model
from cmil.operating_point import youden_threshold
from cmil.patient_bags import PatientBags
from cmil.settings import MilSettings
from cohorts.errors import DataError
from cohorts.files import digest_of, digest_of_file
from cohorts.manifest import Cohort
from cohorts.splits import stratified_folds


@dataclass(frozen=True)
class EpochDone:
    """What a progress bar is told after every epoch; a resumed fold reports its last one."""

    fold: int
    epoch: int
    loss: float | None


def train(
    cohort: Cohort,
    bags: PatientBags,
    settings: MilSettings,
    folder: Path,
    *,
    label: str,
    seed: int,
    on_epoch: Callable[[EpochDone], None] = lambda _: None,
) -> ModelBundle:
    """Train one model a fold and write the bundle to `folder`.

    A fold's model learns from the other folds' patients only. Its logits for its own fold are
    out-of-fold logits; calibration and threshold are fitted on them and on nothing else. Finished
    folds are kept aside until the bundle is whole, so that a killed training resumes with them;
    every fold draws from random numbers of its own, so the result is that of an undisturbed run.

    Parameters
    ----------
    cohort
        Development patients, with labels.
    bags
        At least theirs.
    label
        Name of the label column, for the record.

    Raises
    ------
    DataError
        If the cohort holds an external patient, one class only, or too few of a class.
    """
    outsiders = cohort.patients.index[cohort.patients["split"] != "development"]
    if len(outsiders):
        raise DataError(f'patient "{outsiders[0]}" is external and must not be trained on')
    # A stream for each use: how the training draws does not change who is in which fold.
    split_seed, *fold_seeds = np.random.SeedSequence(seed).spawn(settings.folds + 1)
    fold_of = stratified_folds(cohort.patients, settings.folds, np.random.default_rng(split_seed))
    asked = [__version__, cohort.digest, bags.digest, settings.model_dump(mode="json"), seed]
    aside = folder / "folds" / digest_of(asked)[:16]
    models = [
        _fit_or_resume(
            cohort.restricted_to(fold_of.index[fold_of != fold]),
            bags,
            settings,
            fold_seeds[fold],
            aside / f"{fold}.safetensors",
            fold,
            on_epoch,
        )
        for fold in range(settings.folds)
    ]
    logits = out_of_fold_logits(models, bags, fold_of)
    calibration = fit_platt(logits, cohort.patients["label"])
    save_weights(models, folder / WEIGHTS)
    facts = ModelFacts(
        software_version=__version__,
        label=label,
        seed=seed,
        mil=settings,
        dimension=bags.dimension,
        encoding=dict(bags.encoding),
        fold_of={str(patient): int(fold) for patient, fold in fold_of.items()},
        centres=sorted(cohort.patients["centre"].unique()),
        calibration=calibration,
        threshold=youden_threshold(calibration(logits), cohort.patients["label"]),
        threshold_method=settings.threshold,
        out_of_fold=_summarise(logits, cohort.patients["label"], fold_of),
        cohort_digest=cohort.digest,
        bags_digest=bags.digest,
        weights_digest=digest_of_file(folder / WEIGHTS),
    )
    bundle = ModelBundle(models, facts)
    write_model_card(bundle, folder)
    write_facts(facts, folder)  # last: a bundle with it is whole
    shutil.rmtree(folder / "folds")
    return bundle


def out_of_fold_logits(
    models: Sequence[BagModel], bags: PatientBags, fold_of: "pd.Series[int]"
) -> "pd.Series[float]":
    """Score every patient with the one model that has not seen it.

    Parameters
    ----------
    models
        By fold.
    fold_of
        Fold of each patient, indexed by patient_id.
    """
    logits = {
        patient: models[fold].score(bags.bags[str(patient)].instances).logit
        for patient, fold in fold_of.items()
    }
    return pd.Series(logits, dtype=float)


def _fit_or_resume(
    cohort: Cohort,
    bags: PatientBags,
    settings: MilSettings,
    seed: np.random.SeedSequence,
    checkpoint: Path,
    fold: int,
    on_epoch: Callable[[EpochDone], None],
) -> BagModel:
    if checkpoint.exists():
        on_epoch(EpochDone(fold, settings.epochs - 1, None))
        return load_weights(checkpoint, settings, bags.dimension)[0]

    def report(epoch: int, loss: float) -> None:
        on_epoch(EpochDone(fold, epoch, loss))

    instances = [bag.instances for bag in bags.of(cohort)]
    model = fit_model(instances, cohort.patients["label"].tolist(), settings, seed, report)
    save_weights([model], checkpoint)
    return model


def _summarise(
    logits: "pd.Series[float]", labels: "pd.Series[int]", fold_of: "pd.Series[int]"
) -> OutOfFold:
    pooled = auc_delong(logits, labels)
    folds: Mapping[int, pd.Index] = {int(f): ids.index for f, ids in fold_of.groupby(fold_of)}
    return OutOfFold(
        patients=len(labels),
        positives=int(labels.sum()),
        auc=pooled.value,
        auc_ci_low=pooled.ci_low,
        auc_ci_high=pooled.ci_high,
        auc_of_folds=tuple(auc_delong(logits[i], labels[i]).value for i in folds.values()),
    )
