"""Does a score mean the same in subgroups of patients: hazard ratios level by level, and a test."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cohorts.errors import DataError
from survival.cox import CoxRegression, cox_regression
from survival.cox_model import chi_squared, fit_cox
from survival.multiplicity import adjusted_p

METHOD = "likelihood ratio, each level with its own baseline hazard; Holm over the subgroups"

_MOST_LEVELS = 8
_TAKEN = ("hr", "ci_low", "ci_high", "p", "method")


@dataclass(frozen=True)
class SubgroupHazards:
    """Hazard ratios of one term in subgroups; limits are 95 %.

    Attributes
    ----------
    levels
        `subgroup, level, n, events, hr, ci_low, ci_high, p, method, note`, one row for each level,
        after one of all patients (`subgroup` "all patients", `level` empty).
    interactions
        `subgroup, chi2, df, p, p_holm, missing, method, note`: whether the ratio differs between
        the levels that have one by maximum likelihood; `missing` counts patients whose subgroup
        is not known.
    note
        How many tests there are, and what that means.
    """

    levels: pd.DataFrame
    interactions: pd.DataFrame
    note: str


def subgroup_hazard_ratios(
    time: ArrayLike,
    event: ArrayLike,
    score: "pd.Series[float]",
    subgroups: pd.DataFrame,
    strata: ArrayLike | None = None,
    entry: ArrayLike | None = None,
) -> SubgroupHazards:
    """Fit the hazard ratio of a score in every level of every subgroup, and test the difference.

    The test of a subgroup g equals R's `anova(coxph(S ~ score + strata(g)), coxph(S ~ score:g +
    strata(g)))`: one ratio for all levels against one for each, those of the forest plot. A level
    with too few events has none and takes no part. No difference found in a small study is not a
    difference excluded (Wang et al. 2007, N Engl J Med 357:2189).

    Parameters
    ----------
    time, event
        Time under observation and 1 for an event (n,).
    score
        The term whose ratio is wanted (n,), in its unit; its name goes into notes.
    subgroups
        One column for each subgroup (n rows), its levels as values; missing where not known.
    strata
        Further strata of the baseline hazard (n,), e.g. the centre.
    entry
        Time from which a patient is under observation (n,); without it, from 0.

    Raises
    ------
    DataError
        If a column has more than eight levels.
    """
    data = pd.DataFrame(
        {
            "time": np.asarray(time, dtype=np.float64),
            "event": np.asarray(event, dtype=np.int64),
            "score": score.to_numpy(np.float64),
            "stratum": 0 if strata is None else np.asarray(strata),
        }
    )
    if entry is not None:
        data["entry"] = np.asarray(entry, dtype=np.float64)
    term = str(score.name)
    rows = [_line("all patients", "", _fit(data, term))]
    tests = []
    for name, column in subgroups.items():
        fits = {
            _label(level): _fit(data[(column == level).to_numpy()], term)
            for level in _levels(column)
        }
        rows += [_line(str(name), level, found) for level, found in fits.items()]
        labels = column.map(_label, na_action="ignore").astype(object)
        test = _interaction(data.assign(level=labels.to_numpy()), fits)
        known = {"subgroup": str(name), "missing": int(column.isna().sum()), "method": METHOD}
        tests.append(known | test)
    interactions = pd.DataFrame(
        tests, columns=["subgroup", "chi2", "df", "p", "missing", "method", "note"]
    )
    interactions.insert(4, "p_holm", adjusted_p(interactions["p"], "holm"))
    tested = int(interactions["p"].notna().sum())
    note = (
        f"{tested} interaction tests: where no ratio differs, {1 - 0.95**tested:.0%} of studies "
        "have at least one p below 0.05"
        if tested > 1
        else ""
    )
    return SubgroupHazards(pd.DataFrame(rows), interactions, note)


def _levels(column: "pd.Series[str]") -> list[object]:
    """Give the levels in the order of their category or value."""
    known = column.dropna()
    levels = (
        known.cat.categories if isinstance(known.dtype, pd.CategoricalDtype) else known.unique()
    )
    if len(levels) > _MOST_LEVELS:
        raise DataError(
            f'subgroup "{column.name}" has {len(levels)} values; cut it into at most '
            f"{_MOST_LEVELS} groups first"
        )
    if isinstance(known.dtype, pd.CategoricalDtype):
        return [level for level in levels if (known == level).any()]
    return sorted(levels)


def _label(level: object) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)


def _fit(members: pd.DataFrame, term: str) -> CoxRegression:
    score = members[["score"]].rename(columns={"score": term})
    return cox_regression(
        members["time"],
        members["event"],
        score,
        entry=members.get("entry"),
        strata=members["stratum"],
    )


def _line(subgroup: str, level: str, found: CoxRegression) -> dict[str, object]:
    named = {"subgroup": subgroup, "level": level, "n": found.n, "events": found.events}
    ratio = {name: found.table[name].iloc[0] for name in _TAKEN}
    return named | ratio | {"note": found.note}


def _interaction(data: pd.DataFrame, fits: dict[str, CoxRegression]) -> dict[str, object]:
    """Likelihood ratio of a ratio for each level against one for all of them."""
    models = {level: found.model for level, found in fits.items() if found.model is not None}
    if len(models) < 2:
        note = "not estimable: fewer than two levels have a maximum likelihood estimate"
        return {"chi2": np.nan, "df": 0, "p": np.nan, "note": note}
    members = data[data["level"].isin(models)]
    common = fit_cox(
        members["time"],
        members["event"],
        members[["score"]],
        entry=members.get("entry"),
        strata=members.groupby(["level", "stratum"]).ngroup(),
    )
    separate = sum(model.loglik for model in models.values())
    test = chi_squared(max(2 * (separate - common.loglik), 0.0), len(models) - 1)
    out = [level for level in fits if level not in models]
    note = f"without {', '.join(out)}: no maximum likelihood estimate" if out else ""
    return test._asdict() | {"note": note}
