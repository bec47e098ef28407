"""Whether the score does as well in every kind of patient."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2

from cmil.validation.decisions import Proportion, count, wilson
from cmil.validation.discrimination import auc_delong, estimate_auc
from cohorts.errors import DataError
from cohorts.random_effects import cochran_q

_MOST_LEVELS = 12
_AUC_TEST, _SHARE_TEST = "Cochran's Q of DeLong's variances", "Pearson's chi-squared"
COLUMNS = ("variable", "level", "measure", "threshold_name", "patients", "positives", "value")
_REST = ("ci_low", "ci_high", "p_interaction", "method", "test", "note")


def subgroups(
    patients: pd.DataFrame,
    variables: Sequence[str],
    thresholds: Mapping[str, float],
    weights: np.ndarray,
) -> pd.DataFrame:
    """Measure discrimination and decisions in every level, and test whether levels differ.

    AUCs of levels are held against each other by Cochran's Q with DeLong's variances, which for
    two levels is the square of the unpaired DeLong statistic; sensitivities and specificities by
    Pearson's chi-squared, `prop.test(correct = FALSE)`.

    Parameters
    ----------
    patients
        With columns `score, label` and each variable; a patient without its value is left out.
    variables
        Columns of a few levels each.
    thresholds
        Locked thresholds by name.
    weights
        (B, n) bootstrap samples within outcome and centre, for small levels' AUC.

    Returns
    -------
    DataFrame
        One row a variable, level and measure: `variable, level, measure` (`auc, sensitivity,
        specificity`), `threshold_name, patients, positives, value, ci_low, ci_high`;
        `p_interaction`, the same over the levels of a variable, NaN where fewer than two levels
        can be held against each other; `method, test, note`.

    Raises
    ------
    DataError
        If a variable is not a column, or has more than 12 levels.
    """
    rows: list[dict[str, object]] = []
    for variable in variables:
        if variable not in patients:
            raise DataError(f'no column "{variable}" for subgroups; name one of the cohort')
        levels = patients[variable].dropna().unique()
        if len(levels) > _MOST_LEVELS:
            raise DataError(
                f'subgroup column "{variable}" has {len(levels)} levels, more than {_MOST_LEVELS}; '
                "give a column of classes"
            )
        members = {str(level): (patients[variable] == level).to_numpy() for level in sorted(levels)}
        rows += _of_variable(patients, variable, members, thresholds, weights)
    return pd.DataFrame(rows, columns=[*COLUMNS, *_REST])


def auc_interaction(scores: Sequence[ArrayLike], labels: Sequence[ArrayLike]) -> float:
    """Test whether groups of different patients share one AUC; p, NaN with fewer than two groups.

    Parameters
    ----------
    scores, labels
        One entry a group; a group whose AUC has no variance is left out.
    """
    found = [
        auc_delong(s, y) for s, y in zip(scores, labels, strict=True) if 0 < np.sum(y) < np.size(y)
    ]
    usable = [auc for auc in found if auc.variance > 0]
    if len(usable) < 2:
        return math.nan
    q = cochran_q([auc.value for auc in usable], [auc.variance for auc in usable])
    return float(chi2.sf(q, len(usable) - 1))


def share_interaction(shares: Sequence[Proportion]) -> float:
    """Test whether groups share one proportion; p, NaN with fewer than two groups or no spread."""
    k, n = (np.array([getattr(one, name) for one in shares if one.n]) for name in ("k", "n"))
    if len(n) < 2 or k.sum() in (0, n.sum()):
        return math.nan
    expected = n * k.sum() / n.sum()
    statistic = ((k - expected) ** 2 * (1 / expected + 1 / (n - expected))).sum()
    return float(chi2.sf(statistic, len(n) - 1))


def _of_variable(
    patients: pd.DataFrame,
    variable: str,
    members: Mapping[str, np.ndarray],
    thresholds: Mapping[str, float],
    weights: np.ndarray,
) -> list[dict[str, object]]:
    scores, labels = patients["score"].to_numpy(), patients["label"].to_numpy()
    common = {
        level: {
            "variable": variable,
            "level": level,
            "patients": int(inside.sum()),
            "positives": int(labels[inside].sum()),
        }
        for level, inside in members.items()
    }
    p = auc_interaction(
        [scores[inside] for inside in members.values()],
        [labels[inside] for inside in members.values()],
    )
    about = {"measure": "auc", "threshold_name": "", "p_interaction": p, "test": _AUC_TEST}
    rows: list[dict[str, object]] = [
        {
            **common[level],
            **about,
            **asdict(estimate_auc(scores[inside], labels[inside], weights[:, inside])),
        }
        for level, inside in members.items()
    ]
    for name, threshold in thresholds.items():
        counts = {level: count(scores[i], labels[i], threshold) for level, i in members.items()}
        shares = {
            "sensitivity": {
                level: wilson(of.true_positive, of.positives) for level, of in counts.items()
            },
            "specificity": {
                level: wilson(of.true_negative, of.negatives) for level, of in counts.items()
            },
        }
        for measure, of_levels in shares.items():
            p = share_interaction(list(of_levels.values()))
            about = {"measure": measure, "threshold_name": name, "p_interaction": p}
            rows += [
                {
                    **common[level],
                    **about,
                    "test": _SHARE_TEST,
                    "value": share.value,
                    "ci_low": share.ci_low,
                    "ci_high": share.ci_high,
                    "method": "Wilson",
                    "note": "" if share.n else "no patient of this label",
                }
                for level, share in of_levels.items()
            ]
    return rows
