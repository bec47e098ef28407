"""Refuse to answer until those who are answered are wrong no more often than asked."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import binom

from cmil.referral.conformal import METASTASIS, NONE, REFER
from cmil.referral.risk_coverage import certainty
from cohorts.errors import DataError, SettingsError

METHOD = (
    "Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052) with exact binomial p values "
    "and Bonferroni's correction"
)
_COVERAGES = np.arange(10, 0, -1) / 10


class SelectiveRule(BaseModel):
    """From which certainty on the model answers, frozen with it.

    Attributes
    ----------
    error_rate, confidence
        What is controlled, and the probability over development samples that it holds.
    certainty_above
        Logits from the locked threshold that an answered score must exceed; below 0 where
        everyone is answered, None where nobody is.
    note
        Why nobody is answered; empty otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    error_rate: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    threshold: float
    certainty_above: float | None
    patients: int
    note: str

    @property
    def guarantee(self) -> str:
        """What may be claimed, and under which assumption."""
        return (
            f"Of patients who are answered at most {self.error_rate:.1%} are answered wrongly, "
            f"with {self.confidence:.0%} confidence over development samples, if new patients "
            "are drawn as development patients were, prevalence included, and are scored alike. "
            f"Method: {METHOD}."
        )

    def __call__(self, scores: ArrayLike) -> NDArray[np.str_]:
        """Answer (n,) probabilities: "metastasis", "none" or "refer"."""
        sure = certainty(scores, self.threshold)
        decided = np.where(np.asarray(scores, dtype=float) >= self.threshold, METASTASIS, NONE)
        if self.certainty_above is None:
            return np.full(len(sure), REFER)
        return np.where(sure > self.certainty_above, decided, REFER)


def selective_rule(
    scores: ArrayLike,
    labels: ArrayLike,
    threshold: float,
    *,
    error_rate: float,
    confidence: float = 0.9,
) -> SelectiveRule:
    """Find the largest coverage at which the error of those answered is shown to be small.

    The error among those answered may rise as more are referred, so risk control by one threshold
    does not apply. At ten coverages, 100% to 10%, "the error exceeds the rate" is tested: above
    the (m + 1)-th certainty, errors of the m patients are binomial, as selective guaranteed risk
    (Geifman & El-Yaniv 2017, arXiv 1705.08500, lemma 3.1) has it. A coverage passes at
    p <= (1 - confidence) / 10.

    Parameters
    ----------
    scores, labels
        (n,) out-of-fold probabilities of development patients, and 0 or 1.

    Raises
    ------
    DataError
        If a score lies outside 0 to 1 or there is no patient.
    SettingsError
        If error rate or confidence do not lie between 0 and 1.
    """
    for name, share in (("error_rate", error_rate), ("confidence", confidence)):
        if not 0 < share < 1:
            raise SettingsError(f"{name} is {share:g}; give a share between 0 and 1")
    placed, truth = np.asarray(scores, dtype=float), np.asarray(labels) == 1
    if not len(placed):
        raise DataError("a referral rule needs development patients; there is none")
    sure = certainty(placed, threshold)
    wrong = (placed >= threshold) != truth
    descending = np.append(np.sort(sure)[::-1], -1.0)
    allowed = (1 - confidence) / len(_COVERAGES)
    above = None
    for coverage in _COVERAGES:
        candidate = float(descending[round(coverage * len(sure))])
        answered = sure > candidate
        if binom.cdf(wrong[answered].sum(), answered.sum(), error_rate) <= allowed:
            above = candidate
            break
    fewest = int(np.ceil(np.log(allowed) / np.log1p(-error_rate)))
    note = (
        ""
        if above is not None
        else f"everyone is referred: at no coverage do {len(sure)} development patients show an "
        f"error of at most {error_rate:g}; without a wrong answer, {fewest} answered would"
    )
    return SelectiveRule(
        error_rate=error_rate,
        confidence=confidence,
        threshold=threshold,
        certainty_above=above,
        patients=len(sure),
        note=note,
    )
