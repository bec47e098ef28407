"""A methods paragraph that names every choice of a survival analysis, ready to be edited."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final

import pandas as pd

from survival.cut_rules import rule_text
from survival.study.plan import Plan

_INTERVAL: Final = {"log": "log", "log-log": "complementary log-log", "plain": "linear"}
_LIBRARIES: Final = ("cmil", "numpy", "scipy", "pandas")


def methods_text(
    plans: Sequence[Plan],
    further: Mapping[str, pd.DataFrame],
    seed: int,
    *,
    exploratory: bool = False,
) -> str:
    """Write the paragraph, in Markdown.

    Parameters
    ----------
    plans
        What was fixed for each endpoint.
    further
        Tables of `SurvivalResults.further`; what was not done is not described.
    seed
        Of the bootstrap samples.
    exploratory
        Whether the cut-point was not frozen.
    """
    parts = [
        _of_cutpoint(plans[0], exploratory),
        _of_curves(plans),
        _of_groups(plans[0], further),
        _of_models(plans, further),
        _of_predictions(plans, further, seed),
        _of_competing(plans),
        _of_software(),
    ]
    return "\n\n".join(["# Statistical methods", *filter(None, parts)]) + "\n"


def _of_cutpoint(plan: Plan, exploratory: bool) -> str:
    cut = plan.cut
    values = " and ".join(f"{value:.4f}" for value in cut.values)
    said = f"The score was cut at {values}: {rule_text(cut.method, cut.endpoint, cut.horizon)}"
    if cut.method == "youden":
        said += " (cases weighted by the inverse of the censoring distribution, Uno et al. 2007)"
    if cut.p_corrected is not None:
        said += f"; p corrected for the search {cut.p_corrected:.3g} (Lausen & Schumacher 1992)"
    if cut.p_permutation is not None:
        said += f", by permutation {cut.p_permutation:.3g} (Hothorn & Lausen 2003)"
    if exploratory:
        return (
            f"**Exploratory.** {said}. This cut-point was fitted to {cut.n} patients without being "
            "frozen beforehand; results in the same patients are optimistic and confirm nothing."
        )
    return (
        f"{said}. It was fitted on the out-of-fold scores of {cut.n} development patients only, "
        "locked, and applied unchanged to every external patient."
    )


def _of_curves(plans: Sequence[Plan]) -> str:
    interval = _INTERVAL[plans[0].settings.interval]
    said = (
        "Survival was estimated by Kaplan & Meier 1958 with Greenwood's variance and pointwise "
        f"95% limits on the {interval} scale; follow-up by the reverse "
        "Kaplan-Meier method (Schemper & Smith 1996). Patients at risk are those with time >= t."
    )
    for plan in (plan for plan in plans if plan.endpoint.entry):
        said += (
            f" Patients came under observation of {plan.name} at {plan.endpoint.entry} (delayed "
            "entry: at risk if entry < t <= time; Klein & Moeschberger 2003, section 4.6), in "
            "curves, log-rank tests and Cox models; what takes no late entry was left out."
        )
    return said


def _of_groups(plan: Plan, further: Mapping[str, pd.DataFrame]) -> str:
    said = (
        "Groups were compared by the log-rank test (Mantel 1966; Peto & Peto 1972), stratified by "
        "centre where a cohort has several"
    )
    if "logrank_pairs" in further:
        said += ", by the test for trend, and pair by pair with Holm's correction"
    if "rmst_contrasts" in further:
        said += (
            f", and by restricted mean survival time (Uno et al. 2014) up to {plan.rmst_until:g} "
            f"{plan.endpoint.unit}"
        )
    said += "."
    if "landmark" in further:
        at = plan.settings.landmark
        said += (
            f" A landmark analysis at {at:g} {plan.endpoint.unit} (Anderson et al. 1983) kept "
            "patients event-free and under observation then."
        )
    return said


def _of_models(plans: Sequence[Plan], further: Mapping[str, pd.DataFrame]) -> str:
    settings, cut = plans[0].settings, plans[0].cut
    beside = [*settings.covariates]
    if settings.risk_group:
        beside.append("the known risk group (Cohn et al. 2009)")
    adjusted = f" Adjusted models hold {', '.join(beside)} beside the score." if beside else ""
    said = (
        "Hazard ratios are from Cox models (Cox 1972) with ties by Efron 1977 and Wald intervals, "
        "each centre with its own baseline hazard; where a term separates the events, by Firth's "
        "penalised likelihood with profile intervals (Heinze & Schemper 2001). No model with fewer "
        "than 5 events per parameter was fitted. The score enters per standard deviation of the "
        f"development patients' scores ({cut.score_sd:.4f}).{adjusted} Patients without a "
        "covariate were left out of models with it; nothing was imputed. Proportional hazards were "
        "tested by the score test of scaled Schoenfeld residuals against 1 - Kaplan-Meier "
        "(Grambsch & Therneau 1994), with a global test; where it failed at 5%, the score was let "
        "interact with log time. Linearity was tested by a restricted cubic spline with 4 knots."
    )
    if beside and settings.penalty == "firth":
        said += " Adjusted models are by Firth's penalised likelihood throughout."
    if beside and settings.penalty == "ridge":
        said += (
            " In adjusted models the clinical terms are shrunken by a ridge penalty (Verweij & van "
            "Houwelingen 1994), chosen by ten-fold cross-validated partial likelihood (Verweij & "
            "van Houwelingen 1993); the score is not penalised. What is shrunken of correlated "
            "terms biases its ratio, so that no interval is given."
        )
    if "centres_pooled" in further:
        said += (
            " Centres were pooled by random effects (REML), with intervals of Hartung & Knapp 2001 "
            "and a prediction interval for a new centre (Higgins et al. 2009), and without each "
            "centre in turn."
        )
    if "subgroup_interactions" in further:
        said += (
            f" The score was looked at in levels of {', '.join(settings.subgroups)}; interactions "
            "by likelihood ratio, corrected by Holm."
        )
    return said


def _of_predictions(plans: Sequence[Plan], further: Mapping[str, pd.DataFrame], seed: int) -> str:
    settings = plans[0].settings
    if "concordance" not in further:
        return ""
    times = "; ".join(
        f"{plan.name}: {' and '.join(f'{t:g}' for t in plan.horizons)} {plan.endpoint.unit} "
        f"({plan.horizons_by})"
        for plan in plans
    )
    said = (
        f"Horizons were {times}. Discrimination is Harrell's C with its infinitesimal jackknife "
        "error, Uno's C (Uno et al. 2011) up to the last horizon, weighted by the censoring of the "
        "patients at hand, the cumulative/dynamic AUC (Uno et al. 2007; Blanche et al. 2013), and "
        "R2_D (Royston & Sauerbrei 2004). Predicted risks are from Cox models fitted on the "
        "development patients' out-of-fold scores alone and applied unchanged; in the development "
        "cohort itself they are apparent. They were judged by the Brier score (Graf et al. 1999) "
        "and its index of prediction accuracy (Kattan & Gerds 2018), by calibration (Austin et al. "
        "2020), and by net benefit (Vickers et al. 2008)."
    )
    if "added_value" in further:
        said += (
            " What the score adds to the clinical model was tested by likelihood ratio and by the "
            "difference in C, with both models fitted on the cohort at hand and their optimism "
            "taken off by bootstrap (Harrell et al. 1996; Noma et al. 2021)."
        )
    return (
        f"{said} Bootstrap intervals are percentiles of {settings.bootstrap_samples} samples of "
        f"patients (seed {seed})."
    )


def _of_competing(plans: Sequence[Plan]) -> str:
    named = [plan for plan in plans if plan.endpoint.competing]
    if not named:
        return ""
    events = "; ".join(f"{plan.name}: {', '.join(plan.endpoint.competing)}" for plan in named)
    return (
        f"Competing events ({events}) were handled by cumulative incidence (Aalen & Johansen "
        "1978), Gray's test (Gray 1988), cause-specific hazards, and subdistribution hazards "
        "(Fine & Gray 1999) of every event."
    )


def _of_software() -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return (
        f"Two-sided p values and 95% intervals throughout. Software: {libraries}, Python "
        f"{platform.python_version()}; each method equals the R function that the documentation "
        "names beside it."
    )
