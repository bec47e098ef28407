"""Refuse to answer where an answer would be wrong too often: "metastasis", "none" or "refer"."""

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from cohorts.errors import DataError, SettingsError

METASTASIS, NONE, REFER = "metastasis", "none", "refer"
METHOD = "class-conditional conformal risk control (Angelopoulos et al. 2022, arXiv 2208.02814)"


class ReferralRule(BaseModel):
    """When the model answers, frozen with it.

    Attributes
    ----------
    miss_rate, false_alarm_rate
        What is controlled: the share of patients with metastasis that are answered "none", and of
        those without that are answered "metastasis".
    threshold
        The locked decision; an answer that contradicts it is not given.
    none_below
        A score below it is answered "none". None: that answer is never given.
    metastasis_from
        A score of at least this is answered "metastasis". None: that answer is never given.
    cases, controls
        Development patients the rule was fitted on.
    note
        Why an answer is never given; empty otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    miss_rate: float = Field(gt=0, lt=1)
    false_alarm_rate: float = Field(gt=0, lt=1)
    threshold: float
    none_below: float | None
    metastasis_from: float | None
    cases: int
    controls: int
    note: str

    @property
    def guarantee(self) -> str:
        """What may be claimed, and under which assumption."""
        return (
            f"Of patients with metastasis at most {self.miss_rate:.1%} are answered "
            f'"{NONE}", of those without at most {self.false_alarm_rate:.1%} "{METASTASIS}": per '
            "class, on average over development samples and new patients, if new patients are "
            "exchangeable with development patients of their class and are scored alike. Shares "
            "are of all patients of the class, not of those answered, and not of a centre or a "
            "subgroup. Development scores are out-of-fold, those of new patients the mean of all "
            f"fold models, so exchangeability is approximate. Method: {METHOD}."
        )

    def __call__(self, scores: ArrayLike) -> NDArray[np.str_]:
        """Answer (n,) scores: "metastasis", "none" or "refer"."""
        placed = _finite(scores)
        answers = np.full(len(placed), REFER, dtype=f"<U{len(METASTASIS)}")
        if self.none_below is not None:
            answers[placed < self.none_below] = NONE
        if self.metastasis_from is not None:
            answers[placed >= self.metastasis_from] = METASTASIS
        return answers


def conformal_rule(
    scores: ArrayLike,
    labels: ArrayLike,
    threshold: float,
    *,
    miss_rate: float,
    false_alarm_rate: float,
) -> ReferralRule:
    r"""Fit the rule that answers as many patients as the two rates allow.

    The loss of a class is 1 for a wrong answer and does not grow as more are referred, so
    conformal risk control (eq. 4 there, B = 1) takes the smallest referral with
    (k + 1) / (n + 1) <= alpha, k wrong answers among the n patients of the class. It equals the
    class-conditional (Mondrian) split conformal set in which a set of both classes, or of none,
    is referred (Vovk et al. 2005, section 4.5; Sadinle et al. 2019, JASA 114:223). Answers that
    contradict the locked threshold are referred too, which only lowers both risks.

    Parameters
    ----------
    scores, labels
        (n,) out-of-fold scores of development patients, and 0 or 1.
    threshold
        Locked: a score of at least this is a decision for metastasis.
    miss_rate, false_alarm_rate
        alpha of patients with, and without, metastasis.

    Raises
    ------
    DataError
        If a score is not finite, a label is neither 0 nor 1, or the threshold is not finite.
    SettingsError
        If a rate does not lie between 0 and 1.
    """
    for name, rate in (("miss_rate", miss_rate), ("false_alarm_rate", false_alarm_rate)):
        if not 0 < rate < 1:
            raise SettingsError(f"{name} is {rate:g}; give a share between 0 and 1, e.g. 0.05")
    placed, truth = _finite(scores), _labels(labels)
    if len(placed) != len(truth):
        raise DataError(f"{len(placed)} scores but {len(truth)} labels; give one of each a patient")
    if not math.isfinite(threshold):
        raise DataError(f"the locked threshold is {threshold}; lock a finite one")
    cases, controls = np.sort(placed[truth]), np.sort(placed[~truth])[::-1]
    may_miss, may_alarm = _allowed(len(cases), miss_rate), _allowed(len(controls), false_alarm_rate)
    notes = []
    none_below = metastasis_from = None
    # The k-th smallest score of a case may be missed only up to, not including, itself; a tie
    # with it is not. Of controls likewise, from above.
    least_case = cases[may_miss - 1] if may_miss else -math.inf
    above_control = np.nextafter(controls[may_alarm - 1], math.inf) if may_alarm else math.inf
    if may_miss:
        none_below = float(min(least_case, above_control, threshold))
    else:
        notes.append(_too_few(NONE, len(cases), "with", "miss_rate", miss_rate))
    if may_alarm:
        metastasis_from = float(max(least_case, above_control, threshold))
    else:
        notes.append(
            _too_few(METASTASIS, len(controls), "without", "false_alarm_rate", false_alarm_rate)
        )
    if not may_miss and not may_alarm:
        notes.append("everyone is referred")
    return ReferralRule(
        miss_rate=miss_rate,
        false_alarm_rate=false_alarm_rate,
        threshold=threshold,
        none_below=none_below,
        metastasis_from=metastasis_from,
        cases=len(cases),
        controls=len(controls),
        note="; ".join(notes),
    )


def fit_referral(
    predictions: pd.DataFrame, threshold: float, *, miss_rate: float, false_alarm_rate: float
) -> ReferralRule:
    """Fit the rule on development patients by their out-of-fold scores; see `conformal_rule`.

    Parameters
    ----------
    predictions
        `patient_id, split, score_kind, score, label`; rows of other splits are refused, not
        dropped.

    Raises
    ------
    DataError
        If a row is not a development patient's out-of-fold score.
    """
    wrong = predictions[
        (predictions["split"] != "development") | (predictions["score_kind"] != "oof")
    ]
    if len(wrong):
        row = wrong.iloc[0]
        raise DataError(
            f'patient "{row["patient_id"]}" has a {row["split"]} score of kind '
            f'"{row["score_kind"]}"; a referral rule is fitted on out-of-fold (oof) scores of '
            "development patients only"
        )
    return conformal_rule(
        predictions["score"],
        predictions["label"],
        threshold,
        miss_rate=miss_rate,
        false_alarm_rate=false_alarm_rate,
    )


def fewest_patients(rate: float) -> int:
    """Patients of a class below which no answer can keep the rate: n + 1 >= 1 / rate."""
    return math.ceil(1 / rate - 1e-9) - 1


def _allowed(patients: int, rate: float) -> int:
    """One more than the patients that may be answered wrongly; 0 where not even none may be."""
    # 0.05 * 20 is 1 and must not become 0 by rounding.
    return min(math.floor(rate * (patients + 1) + 1e-9), patients)


def _too_few(answer: str, patients: int, which: str, name: str, rate: float) -> str:
    return (
        f'"{answer}" is never answered: {patients} development patients {which} metastasis, '
        f"{name} {rate:g} needs {fewest_patients(rate)}"
    )


def _finite(scores: ArrayLike) -> NDArray[np.float64]:
    placed = np.asarray(scores, dtype=float)
    if not np.isfinite(placed).all():
        raise DataError("a score is missing or not finite; score every patient before referral")
    return placed


def _labels(labels: ArrayLike) -> NDArray[np.bool_]:
    truth = np.asarray(labels, dtype=float)
    if not np.isin(truth, (0, 1)).all():
        raise DataError("a label is neither 0 nor 1; referral needs the truth of every patient")
    return np.asarray(truth == 1)
