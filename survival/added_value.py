"""What the score adds to a clinical model: likelihood ratio, difference in C, optimism removed."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from cohorts.errors import DataError
from survival.concordance import ConcordanceDifference, concordance_difference, weighted_c
from survival.outcome_arrays import outcome_arrays, patient_values
from survival.product_limit import FloatArray, bootstrap_blocks
from survival.weighted_cox import fit_weighted_cox

_METHOD = "likelihood-ratio test; Harrell's C, optimism-corrected by bootstrap"


@dataclass(frozen=True)
class AddedValue:
    """A clinical Cox model with and without the score; NaN and a note where not estimable.

    Attributes
    ----------
    chi2, df, p
        Likelihood-ratio test of the score beside the clinical covariates.
    apparent
        C with the score less C without, of the models on the patients they were fitted to. Its
        interval takes both models as given.
    corrected
        Rows `clinical`, `with score`, `difference`; columns `apparent`, `optimism`, `corrected`,
        and `ci_low, ci_high` of the corrected C: percentiles of the refitted models' C in their
        bootstrap samples, moved by the optimism (Noma et al. 2021, Stat Med 40:5691).
    samples, failed
        Bootstrap samples, and those in which a model had no fit and which are left out.
    """

    method: str
    n: int
    events: int
    chi2: float
    df: int
    p: float
    apparent: ConcordanceDifference | None
    corrected: pd.DataFrame
    samples: int
    failed: int
    note: str


def added_value(
    clinical: pd.DataFrame,
    score: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    rng: np.random.Generator,
    samples: int = 1000,
) -> AddedValue:
    """Compare Cox models with and without the score on the same patients.

    Optimism is Harrell's (Harrell et al. 1996, Stat Med 15:361; R's `rms::validate`): both models
    are fitted anew in every bootstrap sample, and what their C loses from the sample to the
    original patients is taken off the apparent C, on average. The score itself is not trained
    anew: give out-of-fold or external scores.

    Parameters
    ----------
    clinical
        Numeric covariates of the clinical model (n rows), nothing missing.
    score, time, event
        Score, time under observation, 1 for an event; each (n,).
    rng
        Source of the bootstrap samples.
    samples
        Number of bootstrap samples.

    Raises
    ------
    DataError
        If there is no covariate, or one is missing or constant.
    """
    times, events = outcome_arrays(time, event)
    if not len(clinical.columns):
        raise DataError("clinical: no covariate; name at least one beside which the score adds")
    columns = [patient_values(clinical[name], len(times), str(name)) for name in clinical]
    columns.append(patient_values(score, len(times), "score"))
    for name, column in zip([*clinical.columns, "score"], columns, strict=True):
        if np.ptp(column) == 0:
            raise DataError(f'"{name}" is the same for all {len(times)} patients; leave it out')
    wide = np.column_stack(columns)
    designs = (wide[:, :-1], wide)
    fits = [fit_weighted_cox(x, times, events, np.ones((1, len(times)))) for x in designs]
    chi2 = 2 * float(fits[1].log_likelihood[0] - fits[0].log_likelihood[0])
    if math.isnan(chi2):
        return AddedValue(
            _METHOD,
            len(times),
            int(events.sum()),
            chi2,
            1,
            chi2,
            None,
            _nothing(),
            samples,
            0,
            "not estimable: the likelihood has no maximum (separation or collinear covariates)",
        )
    indices = [x @ fit.coefficients[0] for x, fit in zip(designs, fits, strict=True)]
    apparent = concordance_difference(indices[1], indices[0], times, events)
    in_sample, optimism = _refit(designs, times, events, rng, samples)
    kept = ~np.isnan(optimism).any(axis=1)
    values = np.array([apparent.second.value, apparent.first.value, apparent.value])
    corrected = _nothing().assign(apparent=values)
    failed = int((~kept).sum())
    # Where most samples have no fit, the rest say nothing about the optimism of the whole.
    if failed < samples / 2:
        mean = optimism[kept].mean(axis=0)
        low, high = np.percentile(in_sample[kept] - mean, [2.5, 97.5], axis=0)
        corrected = corrected.assign(
            optimism=mean, corrected=values - mean, ci_low=low, ci_high=high
        )
    return AddedValue(
        _METHOD,
        len(times),
        int(events.sum()),
        chi2,
        1,
        float(chdtrc(1, max(chi2, 0.0))),
        apparent,
        corrected,
        samples,
        failed,
        f"{failed} of {samples} bootstrap samples had no fit" if failed else "",
    )


def _refit(
    designs: tuple[FloatArray, FloatArray],
    time: FloatArray,
    event: FloatArray,
    rng: np.random.Generator,
    samples: int,
) -> tuple[FloatArray, FloatArray]:
    """C in each sample and its optimism: clinical, with score, difference (samples, 3)."""
    in_sample, optimism = [], []
    for weights in bootstrap_blocks(len(time), samples, rng, width=2 * designs[1].shape[1]):
        fitted = [fit_weighted_cox(x, time, event, weights).coefficients for x in designs]
        for row, drawn in enumerate(weights):
            both = np.stack([drawn, np.ones(len(time))])
            # C in the sample, and in the original patients, of each model.
            reached = np.array(
                [
                    weighted_c(x @ fit[row], time, event, both)
                    if np.isfinite(fit[row]).all()
                    else (math.nan, math.nan)
                    for x, fit in zip(designs, fitted, strict=True)
                ]
            )
            here, lost = reached[:, 0], reached[:, 0] - reached[:, 1]
            in_sample.append([*here, here[1] - here[0]])
            optimism.append([*lost, lost[1] - lost[0]])
    return np.array(in_sample), np.array(optimism)


def _nothing() -> pd.DataFrame:
    """Give the table of corrected values, empty."""
    columns = ["apparent", "optimism", "corrected", "ci_low", "ci_high"]
    rows = pd.Index(["clinical", "with score", "difference"], name="model")
    return pd.DataFrame(math.nan, index=rows, columns=columns)
