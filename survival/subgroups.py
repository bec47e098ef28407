"""Does a score mean the same in subgroups of patients: hazard ratios level by level, and a test."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from cohorts.errors import DataError
from survival.cox import HazardRatio, hazard_ratio

METHOD = (
    "Cox model in each level; interaction by likelihood ratio, each level with its own baseline "
    "hazard; p also by Holm over the subgroups"
)

_MOST_LEVELS = 8
_PRECISION = {"precision": 1e-10, "r_precision": 1e-14}


@dataclass(frozen=True)
class SubgroupHazards:
    """Hazard ratios of one term in subgroups; limits are 95 %.

    Attributes
    ----------
    levels
        `subgroup, level, n, events, hr, ci_low, ci_high, p, note`, one row for each level, after
        one of all patients (`subgroup` "all patients", `level` empty).
    interactions
        `subgroup, chi2, df, p, p_holm, missing, note`: whether the ratio differs between the levels
        that have one; `missing` counts patients whose subgroup is not known.
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
    term = str(score.name)
    rows = [_line("all patients", "", _ratio(data, term))]
    tests = []
    for name, column in subgroups.items():
        levels = _levels(column)
        ratios = [_ratio(data[(column == level).to_numpy()], term) for level in levels]
        rows += [_line(name, level, ratio) for level, ratio in zip(levels, ratios, strict=True)]
        estimable = [
            level for level, ratio in zip(levels, ratios, strict=True) if np.isfinite(ratio.hr)
        ]
        test = _interaction(data.assign(level=column.to_numpy()), estimable)
        if 1 < len(estimable) < len(levels):
            out = ", ".join(_label(level) for level in levels if level not in estimable)
            test["note"] = f"without {out}: not estimable"
        tests.append({"subgroup": str(name)} | test | {"missing": int(column.isna().sum())})
    interactions = pd.DataFrame(tests, columns=["subgroup", "chi2", "df", "p", "missing", "note"])
    interactions.insert(4, "p_holm", _holm(interactions["p"].astype(np.float64)))
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


def _ratio(members: pd.DataFrame, name: str) -> HazardRatio:
    return hazard_ratio(
        members["time"],
        members["event"],
        members[["score"]].rename(columns={"score": name}),
        members["stratum"] if members["stratum"].nunique() > 1 else None,
    )


def _line(subgroup: object, level: object, ratio: HazardRatio) -> dict[str, object]:
    kept = ("n", "events", "hr", "ci_low", "ci_high", "p", "note")
    named: dict[str, object] = {"subgroup": str(subgroup), "level": _label(level)}
    return named | {key: getattr(ratio, key) for key in kept}


def _interaction(data: pd.DataFrame, levels: list[object]) -> dict[str, object]:
    """Likelihood ratio of a ratio for each level against one for all of them."""
    if len(levels) < 2:
        note = "not estimable: fewer than two levels have a hazard ratio"
        return {"chi2": np.nan, "df": 0, "p": np.nan, "note": note}
    members = data[data["level"].isin(levels)]
    separate = sum(_log_likelihood(part) for _, part in members.groupby("level", observed=True))
    chi2 = max(2 * (separate - _log_likelihood(members)), 0.0)
    df = len(levels) - 1
    return {"chi2": chi2, "df": df, "p": float(chdtrc(df, chi2)), "note": ""}


def _log_likelihood(members: pd.DataFrame) -> float:
    """Log partial likelihood of the score, the baseline hazard free in each level and stratum."""
    from lifelines import CoxPHFitter

    standardised = (members["score"] - members["score"].mean()) / members["score"].std(ddof=0)
    design = members[["time", "event", "level", "stratum"]].assign(score=standardised)
    model = CoxPHFitter().fit(
        design, "time", "event", strata=["level", "stratum"], fit_options=_PRECISION
    )
    return float(model.log_likelihood_)


def _holm(p: "pd.Series[float]") -> "pd.Series[float]":
    """Adjust by Holm 1979, as `p.adjust(p, "holm")`; what is missing is no test."""
    known = p.dropna().sort_values()
    factor = np.arange(len(known), 0, -1)
    return (known * factor).cummax().clip(upper=1.0).reindex(p.index)
