"""All questions of a study, asked of one stratum."""

import zlib
from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd

from cohorts.errors import StudyError
from survival.study.accuracy import calibration, prediction_error
from survival.study.checks import data_findings
from survival.study.comparisons import group_means, group_tests
from survival.study.competing import competing_events
from survival.study.discrimination import score_discrimination
from survival.study.from_landmark import from_landmark
from survival.study.groups import group_curves
from survival.study.hazards import proportional_hazards
from survival.study.places import centres, subgroups
from survival.study.plan import Plan
from survival.study.power_at_hand import power_at_hand
from survival.study.ratios import hazard_ratios
from survival.study.shape import score_shape
from survival.study.stratum import Answer, Stratum
from survival.study.usefulness import net_benefit, score_beside_clinical

Question = Callable[[Stratum, Plan], Answer]
SampledQuestion = Callable[[Stratum, Plan, np.random.Generator], Answer]

QUESTIONS: Final[tuple[Question, ...]] = (
    group_curves,
    group_tests,
    hazard_ratios,
    data_findings,
    group_means,
    proportional_hazards,
    score_shape,
    score_discrimination,
    centres,
    subgroups,
    competing_events,
    from_landmark,
    power_at_hand,
)
SAMPLED_QUESTIONS: Final[tuple[SampledQuestion, ...]] = (
    score_beside_clinical,
    net_benefit,
    calibration,
    prediction_error,
)
# Their weights or pairs of patients take everybody to be observed from 0 on.
_FROM_ZERO: Final = (
    group_means,
    score_discrimination,
    competing_events,
    from_landmark,
    score_beside_clinical,
    net_benefit,
    calibration,
    prediction_error,
)
_LATE = (
    "not given with delayed entry: it takes every patient to be under observation from time 0 on"
)
# What the page shows; without these three there is no result.
_REQUIRED: Final = (group_curves, group_tests, hazard_ratios)


def ask(question: Question, stratum: Stratum, plan: Plan) -> Answer:
    """Ask a question without chance; what a method refuses is a row of `not_estimated`."""
    if question in _REQUIRED:
        return question(stratum, plan)
    if _is_late(question, plan):
        return _left_out(question.__name__, _LATE)
    try:
        return question(stratum, plan)
    except StudyError as reason:
        return _left_out(question.__name__, str(reason))


def ask_sampled(question: SampledQuestion, stratum: Stratum, plan: Plan, seed: int) -> Answer:
    """Ask a question that draws bootstrap samples.

    The draws depend on the seed and on the names of endpoint, stratum and question alone: another
    centre, or other external scores, change none of the development cohort's numbers.
    """
    name = question.__name__
    if _is_late(question, plan):
        return _left_out(name, _LATE)
    parts = [zlib.crc32(part.encode()) for part in (plan.name, stratum.name, name)]
    try:
        return question(
            stratum, plan, np.random.default_rng(np.random.SeedSequence([seed, *parts]))
        )
    except StudyError as reason:
        return _left_out(name, str(reason))


def _is_late(question: Question | SampledQuestion, plan: Plan) -> bool:
    """Whether a question that is asked of these patients cannot be answered for late entry."""
    if plan.endpoint.entry is None or question not in _FROM_ZERO:
        return False
    if question is competing_events:
        return bool(plan.endpoint.competing)
    return question is not from_landmark or plan.settings.landmark is not None


def _left_out(question: str, reason: str) -> Answer:
    line = {"question": question.replace("_", " "), "note": " ".join(reason.splitlines())}
    return Answer({"not_estimated": pd.DataFrame([line])})
