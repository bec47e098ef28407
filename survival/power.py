"""How many events and patients a hazard ratio needs, and what a study of given events can show."""

import math
from collections.abc import Sequence

import pandas as pd
from scipy.special import ndtr, ndtri

from cohorts.errors import SettingsError


def events_needed(
    hazard_ratio: float,
    variance: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    r_squared: float = 0.0,
) -> float:
    """Events at which a two-sided test finds a hazard ratio with the power wanted.

    Schoenfeld 1981 (Biometrika 68:316) and 1983 (Biometrics 39:499) for two groups, Hsieh & Lavori
    2000 (Control Clin Trials 21:552) for any covariate. Equals R's `gsDesign::nEvents` and the
    events of `powerSurvEpi::ssizeEpiCont`. Not rounded.

    Parameters
    ----------
    hazard_ratio
        Per unit of the covariate.
    variance
        Variance of the covariate: 1 for a score per standard deviation, `group_variance(share)`
        for two groups.
    power, alpha
        Power wanted, and two-sided level of the test.
    r_squared
        Share of the covariate's variance that the other covariates of the model explain.

    Raises
    ------
    SettingsError
        If a number is out of range, or the hazard ratio is 1.
    """
    _check_shares(power=power, alpha=alpha)
    information = _information_per_event(hazard_ratio, variance, r_squared)
    quantiles = float(ndtri(1 - alpha / 2) + ndtri(power))
    return quantiles**2 / information


def power_of(
    events: float,
    hazard_ratio: float,
    variance: float,
    *,
    alpha: float = 0.05,
    r_squared: float = 0.0,
) -> float:
    """Power of a two-sided test with that many events; equals R's `powerSurvEpi::powerEpiCont`.

    Parameters as in `events_needed`. Give a hazard ratio that would matter, decided beforehand:
    with the one observed, power only says the p value again.
    """
    _check_shares(alpha=alpha)
    information = events * _information_per_event(hazard_ratio, variance, r_squared)
    return float(ndtr(math.sqrt(information) - ndtri(1 - alpha / 2)))


def detectable_hazard_ratio(
    events: float,
    variance: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    r_squared: float = 0.0,
) -> float:
    """Smallest hazard ratio above 1 found with the power wanted: `events_needed` solved for it."""
    _check_shares(power=power, alpha=alpha)
    if not events > 0:
        return float("nan")
    spread = _information_per_event(math.e, variance, r_squared)
    return math.exp(float(ndtri(1 - alpha / 2) + ndtri(power)) / math.sqrt(events * spread))


def patients_needed(events: float, share_with_event: float) -> int:
    """Patients among whom that many events are expected, rounded up."""
    _check_shares(share_with_event=share_with_event)
    return math.ceil(events / share_with_event - 1e-9)


def group_variance(share: float) -> float:
    """Variance of belonging to a group that holds this share of patients."""
    _check_shares(share=share)
    return share * (1 - share)


def study_power(
    events: int,
    high_share: float,
    hazard_ratios: Sequence[float] = (1.25, 1.5, 1.75, 2.0, 2.5, 3.0),
    *,
    r_squared: float = 0.0,
) -> pd.DataFrame:
    """Power of the study at hand for hazard ratios that might matter.

    Columns `comparison, events, hr, power, detectable_hr, events_for_80, method, note`, for the
    score per standard deviation and for the high against the low group.

    Parameters
    ----------
    events
        Events of the study.
    high_share
        Share of patients in the high group.
    hazard_ratios
        Hazard ratios to look at.
    r_squared
        Share of the score's variance explained by the covariates it is adjusted for.
    """
    lines = []
    comparisons = {"score, per SD": (1.0, "Hsieh & Lavori 2000")}
    note = "every patient is in one group"
    if 0 < high_share < 1:
        comparisons["high versus low score"] = (group_variance(high_share), "Schoenfeld 1983")
        note = ""
    for comparison, (variance, method) in comparisons.items():
        least = detectable_hazard_ratio(events, variance, r_squared=r_squared)
        lines += [
            {
                "comparison": comparison,
                "events": events,
                "hr": hr,
                "power": power_of(events, hr, variance, r_squared=r_squared),
                "detectable_hr": least,
                "events_for_80": math.ceil(events_needed(hr, variance, r_squared=r_squared)),
                "method": method,
                "note": note,
            }
            for hr in hazard_ratios
        ]
    return pd.DataFrame(lines)


def _information_per_event(hazard_ratio: float, variance: float, r_squared: float) -> float:
    if not (hazard_ratio > 0 and hazard_ratio != 1):
        raise SettingsError(f"hazard ratio {hazard_ratio:g}: give one above 0 that is not 1")
    if not variance > 0:
        raise SettingsError(f"variance {variance:g} of the covariate: give one above 0")
    if not 0 <= r_squared < 1:
        raise SettingsError(f"r_squared {r_squared:g}: give a share from 0 to below 1")
    return math.log(hazard_ratio) ** 2 * variance * (1 - r_squared)


def _check_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 < share < 1:
            raise SettingsError(f"{name} {share:g}: give a share between 0 and 1")
