"""Whether model and reader differ in sensitivity or specificity, on the same patients."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import binom, chi2, norm

from cmil.readers.ratings import Readings
from cohorts.errors import DataError

_NEAR = 1e-9


@dataclass(frozen=True)
class McNemar:
    """Test that two decisions are right equally often in the same patients.

    Attributes
    ----------
    only_one, only_other
        Discordant patients: only the first, only the second decision is 1.
    chi2, p_asymptotic
        Without continuity correction; NaN without discordant patients.
    p_exact, p_mid
        Exact conditional, and mid-p, which is less conservative (Fagerland et al. 2013).
    """

    only_one: int
    only_other: int
    chi2: float
    p_asymptotic: float
    p_exact: float
    p_mid: float


@dataclass(frozen=True)
class PairedDifference:
    """Share of the first less that of the second, with Tango's 95% interval; NaN without pairs."""

    one: float
    other: float
    value: float
    ci_low: float
    ci_high: float
    pairs: int
    test: McNemar


def mcnemar(only_one: int, only_other: int) -> McNemar:
    """Test of McNemar 1947 from the two discordant counts.

    `chi2` and `p_asymptotic` equal R's `stats::mcnemar.test(correct = FALSE)`, `p_exact` equals
    `binom.test(only_one, only_one + only_other)$p.value`; mid-p as Fagerland et al. 2013 (BMC Med.
    Res. Methodol. 13:91).
    """
    discordant, fewer = only_one + only_other, min(only_one, only_other)
    if not discordant:
        return McNemar(0, 0, math.nan, math.nan, 1.0, 1.0)
    statistic = (only_one - only_other) ** 2 / discordant
    tail, point = binom.cdf(fewer, discordant, 0.5), binom.pmf(fewer, discordant, 0.5)
    exact = min(1.0, float(2 * tail))
    mid = float(1 - point / 2) if only_one == only_other else float(2 * tail - point)
    return McNemar(only_one, only_other, statistic, float(chi2.sf(statistic, 1)), exact, mid)


def paired_difference(one: ArrayLike, other: ArrayLike) -> PairedDifference:
    """Difference of two shares in the same patients.

    Tango 1998 (Stat. Med. 17:891), the score interval; equals R's `PropCIs::scoreci.mp` and the
    `Tango_asymptotic_score_CI_paired_2x2` of `contingencytables`.

    Parameters
    ----------
    one, other
        (n,) 0 or 1.

    Raises
    ------
    DataError
        If the two differ in length.
    """
    first, second = np.asarray(one) == 1, np.asarray(other) == 1
    if len(first) != len(second):
        raise DataError(f"{len(first)} and {len(second)} decisions are not of the same patients")
    only_one, only_other = int((first & ~second).sum()), int((~first & second).sum())
    test = mcnemar(only_one, only_other)
    if not len(first):
        return PairedDifference(math.nan, math.nan, math.nan, math.nan, math.nan, 0, test)
    low, high = tango_interval(only_one, only_other, len(first))
    shares = float(first.mean()), float(second.mean())
    value = (only_one - only_other) / len(first)
    return PairedDifference(*shares, value, low, high, len(first), test)


def tango_interval(only_one: int, only_other: int, pairs: int) -> tuple[float, float]:
    """95% interval of (only_one - only_other) / pairs; see `paired_difference`."""
    z = float(norm.ppf(0.975))
    estimate = (only_one - only_other) / pairs

    def beyond(sign: float) -> Callable[[float], float]:
        return lambda delta: _tango_score(only_one, only_other, pairs, delta) - sign * z

    # The score falls with the difference assumed; at -1 and 1 themselves it is 0 / 0.
    least, most = -1 + _NEAR, 1 - _NEAR
    middle = min(max(estimate, least), most)
    at_low, at_high = beyond(1), beyond(-1)
    low = float(brentq(at_low, least, middle)) if at_low(least) > 0 else -1.0
    high = float(brentq(at_high, middle, most)) if at_high(most) < 0 else 1.0
    return low, high


def _tango_score(only_one: int, only_other: int, pairs: int, delta: float) -> float:
    """Tango 1998, eq. 24 to 26, of the difference first less second."""
    linear = -(only_one + only_other) + (2 * pairs - only_one + only_other) * delta
    constant = -only_other * delta * (1 - delta)
    root = max(linear**2 - 8 * pairs * constant, 0.0)
    of_other = (math.sqrt(root) - linear) / (4 * pairs)
    variance = pairs * (2 * of_other + delta * (1 - delta))
    difference = only_one - only_other - pairs * delta
    if variance <= 0:
        return 0.0 if difference == 0 else math.copysign(math.inf, difference)
    return difference / math.sqrt(variance)


def against_readers(decisions: ArrayLike, readings: Readings, labels: ArrayLike) -> pd.DataFrame:
    """Sensitivity and specificity of the model less those of each reader.

    Parameters
    ----------
    decisions, labels
        (N,) of the model at its locked threshold, and the truth, in the order of
        `readings.patients`.
    readings
        Decisions of the readers.

    Returns
    -------
    DataFrame
        Two rows a reader: `reader, measure, patients, model, reader_value, difference, ci_low,
        ci_high` (Tango), `only_model, only_reader` (right in these), `p_exact, p_mid` (McNemar),
        `method, note`. p values are not adjusted for the number of readers.

    Raises
    ------
    DataError
        If a label is neither 0 nor 1, or numbers differ.
    """
    truth, called = np.asarray(labels, dtype=float), np.asarray(decisions, dtype=float)
    if truth.shape != called.shape or len(truth) != len(readings.patients):
        raise DataError(
            f"{len(called)} decisions, {len(truth)} labels and {len(readings.patients)} patients "
            "that were read; give the same patients in the same order"
        )
    if not (np.isin(truth, (0, 1)).all() and np.isin(called, (0, 1)).all()):
        raise DataError("a label or decision is neither 0 nor 1; compare patients that have both")
    rows = []
    for reader, said in zip(readings.readers, readings.values, strict=True):
        for measure, of in (("sensitivity", 1), ("specificity", 0)):
            among = truth == of
            found = paired_difference(called[among] == of, said[among] == of)
            rows.append(
                {
                    "reader": reader,
                    "measure": measure,
                    "patients": found.pairs,
                    "model": found.one,
                    "reader_value": found.other,
                    "difference": found.value,
                    "ci_low": found.ci_low,
                    "ci_high": found.ci_high,
                    "only_model": found.test.only_one,
                    "only_reader": found.test.only_other,
                    "p_exact": found.test.p_exact if found.pairs else math.nan,
                    "p_mid": found.test.p_mid if found.pairs else math.nan,
                    "method": "Tango 1998 interval, McNemar's test",
                    "note": "" if found.pairs else "no patient of this class",
                }
            )
    return pd.DataFrame(rows)
