"""What decisions at a threshold are worth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit
from scipy.stats import beta, norm

from cmil.validation.estimate import Estimate, not_estimable
from cohorts.errors import SettingsError

Interval = Literal["wilson", "clopper-pearson"]

_INTERVALS = {"wilson": "Wilson", "clopper-pearson": "Clopper-Pearson"}


@dataclass(frozen=True)
class Proportion:
    """k of n with its 95% interval; all three numbers are NaN where n is 0."""

    k: int
    n: int
    value: float
    ci_low: float
    ci_high: float


def wilson(k: int, n: int) -> Proportion:
    """Proportion with the 95% score interval of Wilson 1927 (JASA 22:209).

    Equals R's `prop.test(k, n, correct = FALSE)$conf.int`.
    """
    if n == 0:
        return Proportion(k, n, math.nan, math.nan, math.nan)
    z = float(norm.ppf(0.975))
    p = k / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # At k = 0 and k = n the formula ends at 0 and 1 exactly; rounding must not overshoot them.
    low = 0.0 if k == 0 else centre - half
    high = 1.0 if k == n else centre + half
    return Proportion(k, n, p, low, high)


def sensitivity(decisions: ArrayLike, labels: ArrayLike) -> Proportion:
    """Share of the positive patients who are called positive."""
    called, truth = np.asarray(decisions) == 1, np.asarray(labels) == 1
    return wilson(int((called & truth).sum()), int(truth.sum()))


def specificity(decisions: ArrayLike, labels: ArrayLike) -> Proportion:
    """Share of the negative patients who are called negative."""
    called, truth = np.asarray(decisions) == 1, np.asarray(labels) == 1
    return wilson(int((~called & ~truth).sum()), int((~truth).sum()))


def clopper_pearson(k: int, n: int) -> Proportion:
    """Proportion with the exact 95% interval of Clopper & Pearson 1934 (Biometrika 26:404).

    Equals R's `binom.test(k, n)$conf.int`.
    """
    if n == 0:
        return Proportion(k, n, math.nan, math.nan, math.nan)
    low = 0.0 if k == 0 else float(beta.ppf(0.025, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k))
    return Proportion(k, n, k / n, low, high)


@dataclass(frozen=True)
class Counts:
    """Patients by decision and label."""

    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int

    @property
    def positives(self) -> int:
        """Patients with the outcome."""
        return self.true_positive + self.false_negative

    @property
    def negatives(self) -> int:
        """Patients without it."""
        return self.false_positive + self.true_negative


def count(scores: ArrayLike, labels: ArrayLike, threshold: float) -> Counts:
    """Count decisions; a score of at least the threshold is positive."""
    called, truth = np.asarray(scores, dtype=float) >= threshold, np.asarray(labels) == 1
    return Counts(
        true_positive=int((called & truth).sum()),
        false_negative=int((~called & truth).sum()),
        false_positive=int((called & ~truth).sum()),
        true_negative=int((~called & ~truth).sum()),
    )


def decision_table(
    scores: ArrayLike,
    labels: ArrayLike,
    thresholds: Mapping[str, float],
    prevalences: Sequence[float] = (),
    interval: Interval = "wilson",
) -> pd.DataFrame:
    """Say what decisions at locked thresholds are worth.

    Parameters
    ----------
    scores, labels
        (n,) probabilities; 0 or 1.
    thresholds
        Locked thresholds by name.
    prevalences
        At which predictive values are given beside those of the patients themselves.
    interval
        Of proportions.

    Returns
    -------
    DataFrame
        One row a threshold and measure: `threshold_name, threshold, measure` (`sensitivity,
        specificity, ppv, npv, accuracy, lr_positive, lr_negative`), `prevalence` (NaN: the
        patients' own), `k, n` (of proportions), `value, ci_low, ci_high, method, note`.

    Raises
    ------
    SettingsError
        If a prevalence is not between 0 and 1.
    """
    for prevalence in prevalences:
        if not 0 < prevalence < 1:
            raise SettingsError(f"prevalence {prevalence}: give one between 0 and 1")
    rows = []
    for name, threshold in thresholds.items():
        counts = count(scores, labels, threshold)
        measured = [*_proportions(counts, interval), *_likelihood_ratios(counts)]
        for prevalence in prevalences:
            measured += _predictive_values(counts, prevalence)
        rows += [{"threshold_name": name, "threshold": threshold, **row} for row in measured]
    columns = ["threshold_name", "threshold", "measure", "prevalence", "k", "n", "value"]
    return pd.DataFrame(rows, columns=[*columns, "ci_low", "ci_high", "method", "note"])


def _proportions(counts: Counts, interval: Interval) -> list[dict[str, object]]:
    of = wilson if interval == "wilson" else clopper_pearson
    true = counts.true_positive + counts.true_negative
    called = counts.true_positive + counts.false_positive
    uncalled = counts.true_negative + counts.false_negative
    parts = {
        "sensitivity": (counts.true_positive, counts.positives, "no patient with the outcome"),
        "specificity": (counts.true_negative, counts.negatives, "no patient without the outcome"),
        "ppv": (counts.true_positive, called, "nobody called positive"),
        "npv": (counts.true_negative, uncalled, "nobody called negative"),
        "accuracy": (true, counts.positives + counts.negatives, "no patient"),
    }
    return [
        {
            "measure": name,
            "prevalence": math.nan,
            **asdict(of(k, n)),
            "method": _INTERVALS[interval],
            "note": "" if n else why,
        }
        for name, (k, n, why) in parts.items()
    ]


def _likelihood_ratios(counts: Counts) -> list[dict[str, object]]:
    positive = likelihood_ratio(
        counts.true_positive, counts.positives, counts.false_positive, counts.negatives
    )
    negative = likelihood_ratio(
        counts.false_negative, counts.positives, counts.true_negative, counts.negatives
    )
    return [
        {"measure": "lr_positive", "prevalence": math.nan, **asdict(positive)},
        {"measure": "lr_negative", "prevalence": math.nan, **asdict(negative)},
    ]


def likelihood_ratio(k1: int, n1: int, k0: int, n0: int) -> Estimate:
    """Ratio of k1 of n1 with the outcome to k0 of n0 without, by the log method.

    Simel et al. 1991 (J Clin Epidemiol 44:763), eq. 6: se of the log is the root of 1/k1 - 1/n1 +
    1/k0 - 1/n0; `epiR::epi.tests`. With an empty cell the log has no error, hence no interval.
    """
    method = "log method (Simel 1991)"
    if not n1 or not n0:
        return not_estimable(method, "one label only: not estimable")
    if not k0:
        return not_estimable(method, "none without the outcome has this result: ratio not finite")
    value = (k1 / n1) / (k0 / n0)
    if not k1:
        note = "none with the outcome has this result: no interval"
        return Estimate(value, math.nan, math.nan, method, note)
    half = float(norm.ppf(0.975)) * math.sqrt(1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)
    return Estimate(value, value * math.exp(-half), value * math.exp(half), method)


def _predictive_values(counts: Counts, prevalence: float) -> list[dict[str, object]]:
    """Mercaldo et al. 2007 (Stat Med 26:2170), section 2.3: standard and adjusted logit.

    The adjusted one, z^2 / 2 added to each cell, where sensitivity or specificity is 0 or 1.
    """
    k1, n1, k0, n0 = map(
        float,
        (counts.true_positive, counts.positives, counts.true_negative, counts.negatives),
    )
    method = "logit (Mercaldo 2007)"
    if not n1 or not n0:
        missing = asdict(not_estimable(method, "one label only: not estimable"))
        return [{"measure": name, "prevalence": prevalence, **missing} for name in ("ppv", "npv")]
    raw = (k1 / n1, k0 / n0)
    if k1 in (0, n1) or k0 in (0, n0):
        z2 = float(norm.ppf(0.975)) ** 2
        k1, n1, k0, n0 = k1 + z2 / 2, n1 + z2, k0 + z2 / 2, n0 + z2
        method = "adjusted logit (Mercaldo 2007)"
    se, sp = k1 / n1, k0 / n0
    odds = math.log(prevalence / (1 - prevalence))
    centres = {"ppv": odds + math.log(se / (1 - sp)), "npv": -odds + math.log(sp / (1 - se))}
    variances = {
        "ppv": (1 - se) / (se * n1) + sp / ((1 - sp) * n0),
        "npv": se / ((1 - se) * n1) + (1 - sp) / (sp * n0),
    }
    values = dict(zip(("ppv", "npv"), _by_bayes(*raw, prevalence), strict=True))
    rows: list[dict[str, object]] = []
    for name, centre in centres.items():
        half = float(norm.ppf(0.975)) * math.sqrt(variances[name])
        # The adjusted interval is drawn to the middle, and may leave out a value of 0 or 1.
        low = min(float(expit(centre - half)), values[name])
        high = max(float(expit(centre + half)), values[name])
        found = Estimate(values[name], low, high, method)
        if math.isnan(found.value):
            found = not_estimable(method, "nobody with this decision")
        rows.append({"measure": name, "prevalence": prevalence, **asdict(found)})
    return rows


def _by_bayes(se: float, sp: float, prevalence: float) -> tuple[float, float]:
    called = se * prevalence + (1 - sp) * (1 - prevalence)
    uncalled = 1 - called
    return (
        se * prevalence / called if called > 0 else math.nan,
        sp * (1 - prevalence) / uncalled if uncalled > 0 else math.nan,
    )
