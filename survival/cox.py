"""Hazard ratios by Cox regression, by Firth's where events are separated, or a note why not."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from survival.cox_design import NotEstimableError, SeparationError
from survival.cox_model import ChiSquared, CoxModel, coefficient_table, fit_cox
from survival.firth import firth_table, fit_firth
from survival.ridge import RidgeModel, fit_ridge, ridge_table

PenaltyKind = Literal["none", "firth", "ridge"]

# Below 5 events per parameter estimates are unreliable, from 5 to 9 tolerable; Vittinghoff &
# McCulloch 2007, Am J Epidemiol 165:710.
FEWEST_EVENTS = 5
AMPLE_EVENTS = 10
# Firth's estimate is finite and nearly unbiased with fewer, but of no use with hardly any.
_FEWEST_FIRTH = 2
# Cameron & Miller 2015, J Hum Resour 50:317: sandwich errors are biased below 20 to 50 clusters.
_AMPLE_CLUSTERS = 20


@dataclass(frozen=True)
class Penalty:
    """What a likelihood is penalised by, where events are few for so many terms.

    Attributes
    ----------
    kind
        "firth" takes Firth's likelihood from the start, and models of 2 events per parameter on;
        "ridge" shrinks some columns, and needs 5 events per parameter of the others only
        (`survival.ridge.fit_ridge`).
    shrunken
        Columns that ridge penalises.
    """

    kind: PenaltyKind = "none"
    shrunken: tuple[str, ...] = ()


NO_PENALTY = Penalty()
_NO_TEST = ChiSquared(float("nan"), 0, float("nan"))


@dataclass(frozen=True)
class HazardRatio:
    """Hazard ratio of one term with its 95 % interval; NaN and a note where not estimable.

    The interval is Wald's; Firth's profile likelihood interval where the note says so.
    """

    hr: float
    ci_low: float
    ci_high: float
    p: float
    n: int
    events: int
    events_per_parameter: float
    note: str


@dataclass(frozen=True)
class CoxRegression:
    """A Cox model of several terms, with what a reader must know of it.

    Attributes
    ----------
    table
        `term, hr, ci_low, ci_high, p, coefficient, se, robust_se, z, method`; NaN where not
        estimable.
    likelihood_ratio, wald, score_test
        Tests that all coefficients are 0; Firth's has the first one only.
    n, events, events_per_parameter
        Patients with all covariates, their events, and events per term.
    note
        Left-out patients, few events, separation, why nothing is estimable; empty if all is well.
    model
        The fitted model, e.g. for `survival.proportional_hazards`; None for Firth's or none.
    """

    table: pd.DataFrame
    likelihood_ratio: ChiSquared
    wald: ChiSquared
    score_test: ChiSquared
    n: int
    events: int
    events_per_parameter: float
    note: str
    model: CoxModel | None


def cox_regression(
    time: ArrayLike,
    event: ArrayLike,
    covariates: pd.DataFrame,
    *,
    entry: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    penalty: Penalty = NO_PENALTY,
) -> CoxRegression:
    """Hazard ratios of all columns of `covariates`, each adjusted for the others.

    Equals R's `coxph`, ties by Efron 1977. Where the likelihood has no maximum because a covariate
    separates the events, Firth's penalised likelihood takes its place (R's `coxphf`), and the note
    says so. Patients without a covariate are left out and counted in the note.

    Parameters
    ----------
    time, event, entry, strata, weights, cluster
        As in `survival.cox_model.fit_cox` (n,).
    covariates
        Numeric columns (n rows).
    penalty
        Of the likelihood; neither kind knows clusters.
    """
    kept = covariates.notna().all(axis=1).to_numpy()

    def of_kept(values: ArrayLike | None) -> NDArray[np.generic] | None:
        return None if values is None else np.asarray(values)[kept]

    times, events, terms = np.asarray(time)[kept], np.asarray(event)[kept], covariates[kept]
    entries, groups, case_weights = of_kept(entry), of_kept(strata), of_kept(weights)
    count = int(events.astype(np.int64).sum())
    per_parameter = count / terms.shape[1]
    notes = [] if kept.all() else [f"{(~kept).sum()} patients without all covariates left out"]
    table, tests, model = _not_estimable(terms), (_NO_TEST, _NO_TEST, _NO_TEST), None
    fewest = _FEWEST_FIRTH if penalty.kind == "firth" else FEWEST_EVENTS
    free = [name for name in terms if name not in penalty.shrunken]
    try:
        if count and len(terms):
            _refuse_few(count / max(len(free), 1), fewest)
        if per_parameter < AMPLE_EVENTS:
            notes.append(f"{per_parameter:.1f} events per parameter, fewer than {AMPLE_EVENTS}")
        among: dict[str, Any] = {"entry": entries, "strata": groups, "weights": case_weights}
        instead = "as set" if penalty.kind == "firth" else ""
        try:
            if penalty.kind == "ridge":
                ridge = fit_ridge(times, events, terms, penalty.shrunken, **among)
                table = ridge_table(ridge)
                notes.append(_of_ridge(ridge))
            elif not instead:
                model = fit_cox(times, events, terms, cluster=of_kept(cluster), **among)
                table = coefficient_table(model)
                if 0 < model.clusters < _AMPLE_CLUSTERS:
                    notes.append(
                        f"robust errors from {model.clusters} clusters, fewer than "
                        f"{_AMPLE_CLUSTERS}, are too small"
                    )
                tests = (model.likelihood_ratio, model.wald, model.score_test)
        except SeparationError as reason:
            instead = str(reason)
        if instead:
            firth = fit_firth(times, events, terms, **among)
            table, tests = firth_table(firth), (firth.likelihood_ratio, _NO_TEST, _NO_TEST)
            notes.append(
                f"{instead}: Firth's penalised likelihood with profile interval"
                f"{'' if cluster is None else ', not robust to clusters'}"
            )
    except NotEstimableError as reason:
        notes = [f"not estimable: {reason}"]
    return CoxRegression(table, *tests, len(terms), count, per_parameter, "; ".join(notes), model)


def hazard_ratio(
    time: ArrayLike, event: ArrayLike, covariates: pd.DataFrame, strata: ArrayLike | None = None
) -> HazardRatio:
    """Hazard ratio of the first column of `covariates`, adjusted for the others.

    The first row of `cox_regression`, which see.

    Parameters
    ----------
    time, event
        Time under observation and 1 for an event (n,).
    covariates
        Numeric columns (n rows), the term of interest first.
    strata
        Stratum of each patient (n,); each has its own baseline hazard.
    """
    found = cox_regression(time, event, covariates, strata=strata)
    row = found.table.iloc[0]
    return HazardRatio(
        float(row["hr"]),
        float(row["ci_low"]),
        float(row["ci_high"]),
        float(row["p"]),
        found.n,
        found.events,
        found.events_per_parameter,
        found.note,
    )


def _refuse_few(events_per_parameter: float, fewest: int) -> None:
    if events_per_parameter < fewest:
        raise NotEstimableError(
            f"{events_per_parameter:.1f} events per parameter, fewer than {fewest}"
        )


def _of_ridge(ridge: RidgeModel) -> str:
    names = ", ".join(np.array(ridge.terms)[ridge.shrunken])
    return (
        f"{names} shrunken by ridge, penalty {ridge.penalty:.3g} by cross-validation, "
        f"{ridge.effective_parameters:.1f} effective parameters of {len(ridge.terms)}; ratios are "
        "biased by it and have no interval"
    )


def _not_estimable(covariates: pd.DataFrame) -> pd.DataFrame:
    """Give the table of hazard ratios of a model that has none."""
    numbers = ["hr", "ci_low", "ci_high", "p", "coefficient", "se", "robust_se", "z"]
    table = pd.DataFrame(np.nan, index=range(covariates.shape[1]), columns=numbers)
    table.insert(0, "term", [str(name) for name in covariates.columns])
    return table.assign(method="")
