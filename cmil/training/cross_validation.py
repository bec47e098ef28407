"""Cross-validate on the development patients, and freeze what the out-of-fold scores decide."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from cmil import __version__
from cmil.bundle import (
    WEIGHTS,
    ModelBundle,
    ModelFacts,
    load_weights,
    save_weights,
    write_facts,
)
from cmil.heads import DiscreteHazard, fit_head
from cmil.model_card import write_model_card
from cmil.patient_bags import PatientBags
from cmil.settings import MilSettings
from cmil.training.curves import CURVES, curve_table
from cmil.training.fit_plan import deal_folds, inner_fits, outer_fits
from cmil.training.fit_workers import FitEngine, run_fits
from cmil.training.fits import Fit, read_result
from cmil.training.fitting import Epoch
from cmil.training.out_of_fold import freeze_score
from cmil.training.search import SEARCH, chosen_point, grid_points, search_table
from cmil.training.truth import truth_of, truth_values
from cohorts.endpoints import Endpoint
from cohorts.errors import DataError
from cohorts.files import digest_of, digest_of_file, write_text
from cohorts.manifest import Cohort


@dataclass(frozen=True)
class EpochDone:
    """What a progress bar is told after every epoch, and once more when a fit is done.

    Attributes
    ----------
    fold
        Whose model, or whose search; the number of the model.
    epoch
        Of that fit, from 0.
    loss, discrimination
        Of the training patients; None where the fit is done.
    steps
        Epochs that this is of all that were planned: those that a fit stopped short of, or did in
        an earlier run, are told at its end.
    searching
        Whether the fit is of a search.
    """

    fold: int
    epoch: int
    loss: float | None
    discrimination: float | None
    steps: int
    searching: bool = False


def train(  # noqa: PLR0913  # what is learnt, and three that only say how
    cohort: Cohort,
    bags: PatientBags,
    settings: MilSettings,
    folder: Path,
    *,
    label: str,
    seed: int,
    endpoint: Endpoint | None = None,
    on_epoch: Callable[[EpochDone], None] = lambda _: None,
    engine: FitEngine = run_fits,
) -> ModelBundle:
    """Train one model a fold and write the bundle to `folder`.

    A fold's model learns from the other folds' patients only, and its settings are searched among
    them only. Its logits for its own fold are out-of-fold logits; calibration and threshold are
    fitted on them and on nothing else. Finished fits are kept aside until the bundle is whole, so
    that a killed training resumes with them; every fit draws from random numbers of its own, so
    the result is that of an undisturbed run, however many fits run at a time.

    Parameters
    ----------
    cohort
        Development patients, with labels or the endpoint.
    bags
        At least theirs.
    label
        Name of the label column, for the record.
    endpoint
        Columns of time and event, if these are learnt.
    engine
        What carries the fits out.

    Raises
    ------
    DataError
        If the cohort holds an external patient, one class only, or too few of a class.
    """
    outsiders = cohort.patients.index[cohort.patients["split"] != "development"]
    if len(outsiders):
        raise DataError(f'patient "{outsiders[0]}" is external and must not be trained on')
    truth = truth_of(cohort.patients, settings, endpoint)
    folds = deal_folds(cohort.patients, settings, seed, endpoint)
    learnt = digest_of([*truth.columns, *truth_values(truth).ravel().tolist()])
    asked = [__version__, cohort.digest, learnt, bags.digest, settings.model_dump(mode="json")]
    aside = folder / "folds" / digest_of([*asked, seed])[:16]
    fits = outer_fits(truth, folds, settings, seed, aside)
    points = grid_points(settings)
    inner = [inner_fits(fit, cohort.patients, points, aside) for fit in fits]
    carry_out = partial(_carry_out, engine=engine, bags=bags, aside=aside, on_epoch=on_epoch)
    carry_out([fit for of in inner for at in of for fit in at])
    searches = [search_table(points, [[read_result(f) for f in at] for at in of]) for of in inner]
    searched = [points[chosen_point(table)] for table in searches]
    fits = [replace(f, settings=settings.at(p)) for f, p in zip(fits, searched, strict=True)]
    carry_out(fits)

    results = [read_result(fit) for fit in fits]
    weights = [fit.weights for fit in fits if fit.weights]
    heads = [fit_head(fit.truth, fit.settings) for fit in fits]
    models = [
        load_weights(path, fit.settings, bags.dimension, head.outputs)[0]
        for path, fit, head in zip(weights, fits, heads, strict=True)
    ]
    save_weights(models, folder / WEIGHTS)
    frozen = freeze_score(fits, heads, results, truth, cohort.patients["centre"], seed)
    facts = ModelFacts(
        software_version=__version__,
        label=label,
        seed=seed,
        mil=settings,
        dimension=bags.dimension,
        encoding=dict(bags.encoding),
        fold_of=_plain(folds[0]),
        later_fold_of=tuple(_plain(fold_of) for fold_of in folds[1:]),
        classes=cohort.classes,
        endpoint=endpoint if settings.task == "survival" else None,
        time_bins=tuple(head.ends for head in heads if isinstance(head, DiscreteHazard)),
        searched=tuple(searched) if settings.searched else (),
        centres=sorted(cohort.patients["centre"].unique()),
        calibration=frozen.calibration,
        threshold=frozen.threshold,
        threshold_method=frozen.threshold_method,
        out_of_fold=frozen.reached,
        cohort_digest=cohort.digest,
        bags_digest=bags.digest,
        weights_digest=digest_of_file(folder / WEIGHTS),
    ).sealed()
    bundle = ModelBundle(models, facts)
    write_text(folder / CURVES, curve_table(results).to_csv(index=False))
    if settings.searched:
        tables = [table.assign(model=number) for number, table in enumerate(searches)]
        write_text(folder / SEARCH, pd.concat(tables).to_csv(index=False))
    write_model_card(bundle, folder)
    write_facts(facts, folder)  # last: a bundle with it is whole
    shutil.rmtree(folder / "folds")
    return bundle


def _plain(fold_of: "pd.Series[int]") -> dict[str, int]:
    return {str(patient): int(fold) for patient, fold in fold_of.items()}


def _carry_out(
    fits: Sequence[Fit],
    engine: FitEngine,
    bags: PatientBags,
    aside: Path,
    on_epoch: Callable[[EpochDone], None],
) -> None:
    """Carry out the fits that an earlier run has not finished."""
    reached = dict.fromkeys((fit.result for fit in fits), 0)

    def told(fit: Fit, epoch: Epoch | None) -> None:
        searching = fit.weights is None
        if epoch is None:
            left = fit.settings.epochs - reached[fit.result]
            on_epoch(EpochDone(fit.fold, fit.settings.epochs - 1, None, None, left, searching))
            return
        reached[fit.result] += 1
        how = epoch.loss, epoch.discrimination
        on_epoch(EpochDone(fit.fold, epoch.number, *how, 1, searching))

    waiting = []
    for fit in fits:
        if fit.result.exists():
            told(fit, None)
        else:
            waiting.append(fit)
    engine(waiting, bags, aside, told)
