"""How many patients sensitivity and specificity need: for narrow intervals, or to be compared."""

import math
from typing import Literal

from scipy.stats import norm

from cmil.planning.sample_size import SampleSize, check_share, sample_size
from cohorts.errors import SettingsError

Measure = Literal["sensitivity", "specificity"]


def cases_for_decision_width(
    sensitivity: float, specificity: float, half_width: float, prevalence: float
) -> SampleSize:
    """Patients for 95% intervals of sensitivity and specificity within `half_width`.

    Buderer 1996 (Acad. Emerg. Med. 3:895): patients are taken as they come, so that
    both classes must be reached at the prevalence.

    Raises
    ------
    SettingsError
        If a number does not lie between 0 and 1.
    """
    for name, value in (
        ("sensitivity", sensitivity),
        ("specificity", specificity),
        ("half_width", half_width),
        ("prevalence", prevalence),
    ):
        check_share(name, value)
    z = float(norm.ppf(0.975))
    cases = z**2 * sensitivity * (1 - sensitivity) / half_width**2
    controls = z**2 * specificity * (1 - specificity) / half_width**2
    total = max(cases / prevalence, controls / (1 - prevalence))
    return sample_size(
        total * prevalence,
        (1 - prevalence) / prevalence,
        f"95% intervals of sensitivity {sensitivity:g} and specificity {specificity:g} "
        f"+- {half_width:g} at prevalence {prevalence:g}, normal; Buderer 1996",
    )


def patients_for_paired_decisions(
    measure: Measure,
    difference: float,
    discordant: float,
    power: float,
    prevalence: float,
    level: float = 0.05,
) -> SampleSize:
    """Patients to tell the sensitivities, or specificities, of two models or of model and reader.

    Both decide on everyone; McNemar's test. Connor 1987 (Biometrics 43:207), with the formula of
    R's `MESS::power_mcnemar_test(method = "normal")`.

    Parameters
    ----------
    measure
        Which of the two is compared: patients with, or without, metastasis must be that many.
    difference
        Of the two.
    discordant
        Share of the class that the two decide differently; at least the difference.

    Raises
    ------
    SettingsError
        If a number is out of range, or fewer patients are discordant than the difference needs.
    """
    for name, value in (
        ("discordant", discordant),
        ("power", power),
        ("level", level),
        ("prevalence", prevalence),
    ):
        check_share(name, value)
    if not 0 < abs(difference) <= discordant:
        raise SettingsError(
            f"a difference of {difference:g} is 0 or larger than the share of discordant patients, "
            f"{discordant:g}; state a difference, and at least that share"
        )
    reach = float(norm.ppf(1 - level / 2)) * math.sqrt(discordant)
    reach += float(norm.ppf(power)) * math.sqrt(discordant - difference**2)
    of_class = math.ceil((reach / difference) ** 2 - 1e-6)
    ratio = (1 - prevalence) / prevalence
    return sample_size(
        of_class if measure == "sensitivity" else of_class / ratio,
        ratio,
        f"a difference in {measure} of {difference:g} with {discordant:g} of the class decided "
        f"differently, McNemar's test, power {power:g}, two-sided level {level:g}, at prevalence "
        f"{prevalence:g}; Connor 1987",
    )
