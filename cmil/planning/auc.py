"""How many patients an AUC needs: for a narrow interval, against chance, against another model."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from cmil.planning.sample_size import SampleSize, check_share, sample_size
from cmil.readers.multireader_auc import auc_covariance
from cmil.validation.discrimination import placements, variance_of_mean
from cohorts.errors import SettingsError

# Variance of a rank statistic where the AUC is 0.5: 1 / 12, as Obuchowski's approximation has it.
_NULL = 0.0792


@dataclass(frozen=True)
class Power:
    """Probability that a test at `level` (two-sided) sees what is there, with these patients."""

    power: float
    cases: float
    controls: float
    level: float
    method: str

    @property
    def text(self) -> str:
        """One sentence for the protocol."""
        return (
            f"{self.cases:g} patients with and {self.controls:g} without metastasis give power "
            f"{self.power:.3f} at two-sided level {self.level:g}: {self.method}."
        )


def se_hanley_mcneil(auc: float, cases: float, controls: float) -> float:
    """Give the standard error for exponential scores; Hanley & McNeil 1982 (Radiology 143:29)."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    sum_of = auc * (1 - auc) + (cases - 1) * (q1 - auc**2) + (controls - 1) * (q2 - auc**2)
    return math.sqrt(sum_of / (cases * controls))


def variance_obuchowski(auc: float, controls_per_case: float) -> float:
    """Variance of the AUC times the number of cases, for binormal scores.

    Obuchowski, Lieber & Wians 2004 (Clin. Chem. 50:1118), as `pROC::power.roc.test` has it.
    """
    a = 1.414 * float(norm.ppf(auc))
    at = 0.0099 * math.exp(-(a**2) / 2)
    return at * ((5 * a**2 + 8) + (a**2 + 8) / controls_per_case)


def cases_for_auc_width(auc: float, half_width: float, controls_per_case: float) -> SampleSize:
    """Patients for a 95% interval of the AUC that reaches `half_width` to either side.

    The larger of Hanley & McNeil's and Obuchowski's variances counts: neither distribution of
    scores is known beforehand.

    Raises
    ------
    SettingsError
        If the AUC does not lie between 0.5 and 1, or a number is not positive.
    """
    _check_auc(auc)
    check_share("half_width", half_width)
    _check_ratio(controls_per_case)
    needed = half_width / float(norm.ppf(0.975))
    # se_hanley_mcneil(auc, cases, ratio * cases) = needed is quadratic in the cases.
    two_cases = auc / (2 - auc) - auc**2
    two_controls = 2 * auc**2 / (1 + auc) - auc**2
    linear = two_cases + controls_per_case * two_controls
    constant = auc * (1 - auc) - two_cases - two_controls
    square = controls_per_case * needed**2
    root = math.sqrt(max(linear**2 + 4 * square * constant, 0.0))
    exponential = (linear + root) / (2 * square)
    binormal = variance_obuchowski(auc, controls_per_case) / needed**2
    name = "Hanley & McNeil 1982" if exponential >= binormal else "Obuchowski et al. 2004"
    return sample_size(
        max(exponential, binormal),
        controls_per_case,
        f"95% interval of AUC {auc:g} +- {half_width:g}, normal; variance of {name}, the larger "
        "of it and the other approximation",
    )


def cases_for_auc_width_from_pilot(
    scores: ArrayLike, labels: ArrayLike, half_width: float, controls_per_case: float
) -> SampleSize:
    """Plan the width of the interval by the spread that scores of earlier patients show.

    DeLong's variance, S10 / cases + S01 / controls (DeLong et al. 1988, eq. 6), with the S of the
    pilot, e.g. the out-of-fold scores of development.

    Parameters
    ----------
    scores, labels
        (n,) of the pilot; labels 0 or 1.

    Raises
    ------
    DataError
        If a class is absent.
    SettingsError
        If a class has one patient or the pilot's scores separate the classes: no spread is seen.
    """
    check_share("half_width", half_width)
    _check_ratio(controls_per_case)
    of_cases, of_controls = placements(scores, labels)
    s10 = variance_of_mean(of_cases) * len(of_cases)
    s01 = variance_of_mean(of_controls) * len(of_controls)
    spread = s10 + s01 / controls_per_case
    if not spread > 0:
        raise SettingsError(
            "the pilot's scores show no spread of the AUC (a single patient of a class, or classes "
            "that separate); plan from an expected AUC instead"
        )
    cases = spread * (float(norm.ppf(0.975)) / half_width) ** 2
    return sample_size(
        cases,
        controls_per_case,
        f"95% interval of the AUC +- {half_width:g}, normal; DeLong's variance in "
        f"{len(of_cases)} + {len(of_controls)} pilot patients, AUC {of_cases.mean():.3f}",
    )


def power_of_auc(auc: float, cases: float, controls: float, level: float = 0.05) -> Power:
    """Power to tell an AUC from 0.5, two-sided; `pROC::power.roc.test(auc, ncases, ncontrols)`.

    Obuchowski, Lieber & Wians 2004 (Clin. Chem. 50:1118).

    Raises
    ------
    SettingsError
        If the AUC does not lie between 0.5 and 1, or a number is out of range.
    """
    _check_auc(auc)
    check_share("level", level)
    ratio = controls / cases
    _check_ratio(ratio)
    z_alpha = float(norm.ppf(1 - level / 2))
    reached = (auc - 0.5) * math.sqrt(cases) - z_alpha * math.sqrt(_NULL * (1 + 1 / ratio))
    power = float(norm.cdf(reached / math.sqrt(variance_obuchowski(auc, ratio))))
    method = f"AUC {auc:g} against 0.5, Obuchowski et al. 2004"
    return Power(power, cases, controls, level, method)


def cases_for_auc(
    auc: float, power: float, controls_per_case: float, level: float = 0.05
) -> SampleSize:
    """Patients to tell an AUC from 0.5, two-sided; `pROC::power.roc.test(auc, power, kappa)`.

    Obuchowski, Lieber & Wians 2004 (Clin. Chem. 50:1118).

    Raises
    ------
    SettingsError
        If the AUC does not lie between 0.5 and 1, or a number is out of range.
    """
    _check_auc(auc)
    check_share("level", level)
    check_share("power", power)
    _check_ratio(controls_per_case)
    under_null = math.sqrt(_NULL * (1 + 1 / controls_per_case))
    spread = math.sqrt(variance_obuchowski(auc, controls_per_case))
    reach = float(norm.ppf(1 - level / 2)) * under_null + float(norm.ppf(power)) * spread
    return sample_size(
        (reach / (auc - 0.5)) ** 2,
        controls_per_case,
        f"AUC {auc:g} against 0.5, power {power:g}, two-sided level {level:g}; "
        "Obuchowski et al. 2004",
    )


def cases_for_auc_difference(
    auc: float,
    other: float,
    correlation: float,
    power: float,
    controls_per_case: float,
    level: float = 0.05,
) -> SampleSize:
    """Patients to tell the AUCs of two models, both of which score everyone, two-sided.

    Obuchowski & McClish 1997 (Stat. Med. 16:1529), with binormal variances.

    Parameters
    ----------
    correlation
        Of the two AUCs over samples of patients; 0 would be two groups of patients.

    Raises
    ------
    SettingsError
        If an AUC does not lie between 0.5 and 1, both are equal, or a number is out of range.
    """
    _check_auc(auc)
    _check_auc(other)
    if not -1 < correlation < 1:
        raise SettingsError(f"correlation is {correlation:g}; give one between -1 and 1, e.g. 0.5")
    one = variance_obuchowski(auc, controls_per_case)
    two = variance_obuchowski(other, controls_per_case)
    shared = correlation * math.sqrt(one * two)
    return _cases_of_difference(
        (auc - other, one, two, shared),
        power,
        controls_per_case,
        level,
        f"AUC {auc:g} against {other:g} in the same patients, correlation {correlation:g}; "
        "Obuchowski & McClish 1997, variance of Obuchowski et al. 2004",
    )


def cases_for_auc_difference_from_pilot(
    one: ArrayLike, other: ArrayLike, labels: ArrayLike, power: float, level: float = 0.05
) -> SampleSize:
    """Plan a comparison by two scores of earlier patients, in their ratio of controls to cases.

    Equals R's `pROC::power.roc.test(roc1, roc2, power = )`, method "delong".

    Parameters
    ----------
    one, other
        (n,) scores of the pilot; the variance of the first counts under the null.

    Raises
    ------
    DataError
        If a class is absent or has one patient.
    SettingsError
        If the AUCs are equal, or a number is out of range.
    """
    aucs, covariance = auc_covariance(np.stack([one, other]), labels)
    truth = np.asarray(labels) == 1
    cases, controls = int(truth.sum()), int((~truth).sum())
    per_case = covariance * cases
    return _cases_of_difference(
        (float(aucs[0] - aucs[1]), per_case[0, 0], per_case[1, 1], per_case[0, 1]),
        power,
        controls / cases,
        level,
        f"AUC {aucs[0]:.3f} against {aucs[1]:.3f} in the same patients; Obuchowski & McClish "
        f"1997, DeLong's covariance in {cases} + {controls} pilot patients",
    )


def _cases_of_difference(
    difference_and_variances: tuple[float, float, float, float],
    power: float,
    controls_per_case: float,
    level: float,
    method: str,
) -> SampleSize:
    difference, one, two, shared = difference_and_variances
    check_share("power", power)
    check_share("level", level)
    _check_ratio(controls_per_case)
    if difference == 0:
        raise SettingsError("both AUCs are equal: no number of patients tells them apart")
    under_null, spread = 2 * one - 2 * shared, one + two - 2 * shared
    reach = float(norm.ppf(1 - level / 2)) * math.sqrt(max(under_null, 0.0))
    reach += float(norm.ppf(power)) * math.sqrt(max(spread, 0.0))
    return sample_size(
        (reach / difference) ** 2,
        controls_per_case,
        f"{method}; power {power:g}, two-sided level {level:g}",
    )


def _check_auc(auc: float) -> None:
    if not 0.5 < auc < 1:
        raise SettingsError(f"an expected AUC of {auc:g} does not lie between 0.5 and 1; give one")


def _check_ratio(controls_per_case: float) -> None:
    if not controls_per_case > 0:
        raise SettingsError(f"{controls_per_case:g} controls per case; give a positive number")
