"""Which models are trained on whom: the folds, and within each those of the search."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cmil.settings import MilSettings
from cmil.training.fits import Fit
from cmil.training.model_fitting import refuse_unfit
from cmil.training.search import grid_points
from cmil.training.truth import truth_of, truth_values
from cohorts.endpoints import Endpoint
from cohorts.errors import DataError
from cohorts.splits import centre_folds, stratified_folds

# Streams of a fold's seed: fitting takes the first three.
_INNER_SPLIT, _INNER_FITS = 3, 4


def deal_folds(
    patients: pd.DataFrame, settings: MilSettings, seed: int, endpoint: Endpoint | None = None
) -> "list[pd.Series[int]]":
    """Assign development patients to folds, once a repeat.

    Raises
    ------
    DataError
        If a class, or the event, is too rare, or is in one centre only that is to be left out.
    """
    truth = truth_of(patients, settings, endpoint)
    by = str(truth.columns[-1])
    known = pd.DataFrame({by: truth[by].astype(int), "centre": patients["centre"]})
    if settings.task == "survival" and known[by].all():
        raise DataError("every development patient has the event; at least one must be censored")
    if settings.hold_out == "centres":
        return [centre_folds(known, by)]
    return [
        stratified_folds(
            known, settings.folds, np.random.default_rng(_streams(seed, repeat)[0]), by
        )
        for repeat in range(settings.repeats)
    ]


def refuse_unfit_patients(
    patients: pd.DataFrame, settings: MilSettings, seed: int, endpoint: Endpoint | None = None
) -> None:
    """Refuse, before anything is computed, patients of whom a fit of the study would be refused.

    Raises
    ------
    DataError
        As `deal_folds`, `inner_fits` and `model_fitting.refuse_unfit`; it names the model.
    """
    folds = deal_folds(patients, settings, seed, endpoint)
    truth = truth_of(patients, settings, endpoint)
    points = grid_points(settings)
    for fit in outer_fits(truth, folds, settings, seed, Path()):
        inner = [one for at in inner_fits(fit, patients, points, Path()) for one in at]
        for one in (fit, *inner):
            try:
                refuse_unfit(one.truth, one.settings)
            except DataError as error:
                where = f"model {fit.fold + 1}" if one is fit else f"search of model {fit.fold + 1}"
                raise DataError(f"{where}: {error}") from error


def planned_epochs(settings: MilSettings, models: int) -> int:
    """Count the epochs of all fits, those of the search included."""
    searching = sum(int(point.get("epochs", settings.epochs)) for point in grid_points(settings))
    return models * (
        settings.epochs + (settings.search_folds * searching if settings.searched else 0)
    )


def _streams(seed: int, repeat: int, models: int = 0) -> list[np.random.SeedSequence]:
    """Give a stream for the split, and one for each model's training.

    How the training draws does not change who is in which fold.
    """
    entropy = [seed, repeat] if repeat else seed
    return np.random.SeedSequence(entropy).spawn(models + 1)


def outer_fits(
    truth: pd.DataFrame,
    folds: "Sequence[pd.Series[int]]",
    settings: MilSettings,
    seed: int,
    aside: Path,
) -> list[Fit]:
    """Give the fit of every model of the bundle, whose results go to the folder `aside`."""
    fits: list[Fit] = []
    for repeat, fold_of in enumerate(folds):
        models = int(fold_of.max()) + 1
        for fold, stream in enumerate(_streams(seed, repeat, models)[1:]):
            number = len(fits)
            name = aside / str(number)
            fits.append(_fit(number, truth, fold_of != fold, settings, stream, name))
    return [replace(fit, weights=fit.result.with_suffix(".safetensors")) for fit in fits]


def inner_fits(
    outer: Fit, patients: pd.DataFrame, points: Sequence[Mapping[str, Any]], aside: Path
) -> list[list[Fit]]:
    """For each point of the search one fit an inner fold, among the outer training patients.

    Raises
    ------
    DataError
        If these are too few of a class.
    """
    settings = outer.settings
    if not settings.searched:
        return [[]]
    columns = ["label"] if outer.truth.ndim == 1 else ["time", "event"]
    truth = pd.DataFrame(
        outer.truth.reshape(len(outer.truth), -1), index=list(outer.patients), columns=columns
    )
    by = columns[-1]
    known = pd.DataFrame(
        {by: truth[by].astype(int), "centre": patients["centre"].loc[list(outer.patients)]}
    )
    split = np.random.default_rng(_child(outer.seed, _INNER_SPLIT))
    try:
        fold_of = stratified_folds(known, settings.search_folds, split, by)
    except DataError as error:
        raise DataError(
            f"the training patients of model {outer.fold + 1} are too few for search_folds = "
            f"{settings.search_folds}: one class has fewer; lower search_folds, or remove "
            "[mil.search]"
        ) from error
    # Points of one inner fold share its seed: what differs between them is the setting.
    return [
        [
            _fit(
                outer.fold,
                truth,
                fold_of != inner,
                settings.at(point),
                _child(outer.seed, _INNER_FITS, inner),
                aside / f"search-{outer.fold}-{number}-{inner}",
            )
            for inner in range(settings.search_folds)
        ]
        for number, point in enumerate(points)
    ]


def _fit(
    fold: int,
    truth: pd.DataFrame,
    learning: "pd.Series[bool]",
    settings: MilSettings,
    seed: np.random.SeedSequence,
    name: Path,
) -> Fit:
    values = truth_values(truth)
    learns = learning.to_numpy()
    return Fit(
        fold=fold,
        patients=tuple(truth.index[learns]),
        truth=values[learns],
        held_out=tuple(truth.index[~learns]),
        held_out_truth=values[~learns],
        settings=settings,
        seed=seed,
        result=name.with_name(f"{name.name}.json"),
        weights=None,
    )


def _child(seed: np.random.SeedSequence, *key: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *key))
