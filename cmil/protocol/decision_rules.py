"""From score to decision: thresholds and the rule of referral, fitted on development patients."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from cmil.referral.conformal import ReferralRule, fit_referral
from cmil.validation.settings import ValidationSettings
from cmil.validation.thresholds import (
    Cost,
    cost_threshold,
    sensitivity_threshold,
    specificity_threshold,
)


@dataclass(frozen=True)
class DecisionRules:
    """What decides, whoever the patient is.

    Attributes
    ----------
    thresholds
        Name of the rule to threshold; the first is the model's own.
    referral
        When the model answers; None where no rule was asked for.
    """

    thresholds: Mapping[str, float]
    referral: ReferralRule | None


def need_scores(asked: ValidationSettings) -> bool:
    """Whether anything but the model's own threshold is asked for."""
    return any(
        rule is not None
        for rule in (asked.sensitivity, asked.specificity, asked.cost, asked.referral)
    )


def fit_decision_rules(
    own: Mapping[str, float], development: pd.DataFrame, asked: ValidationSettings
) -> DecisionRules:
    """Fit all that is asked for on out-of-fold scores of development patients.

    Parameters
    ----------
    own
        The model's threshold by the name of its rule.
    development
        Predictions `patient_id, split, score_kind, score, label` of development patients alone.

    Raises
    ------
    DataError
        If a class is absent, or a score is not a development patient's out-of-fold score.
    """
    thresholds, score, label = dict(own), development["score"], development["label"]
    if asked.sensitivity is not None:
        name = f"sensitivity {asked.sensitivity:g}"
        thresholds[name] = sensitivity_threshold(score, label, asked.sensitivity)
    if asked.specificity is not None:
        name = f"specificity {asked.specificity:g}"
        thresholds[name] = specificity_threshold(score, label, asked.specificity)
    if asked.cost is not None:
        cost = Cost(asked.cost.missed, asked.cost.false_alarm, asked.cost.prevalence)
        thresholds["cost"] = cost_threshold(score, label, cost)
    if asked.referral is None:
        return DecisionRules(thresholds, None)
    rule = fit_referral(
        development,
        next(iter(own.values())),
        miss_rate=asked.referral.miss_rate,
        false_alarm_rate=asked.referral.false_alarm_rate,
    )
    return DecisionRules(thresholds, rule)
