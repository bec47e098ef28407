"""The cut-point: fitted on out-of-fold development scores, written as a lock, and applied."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from cohorts.errors import DataError, FileFormatError
from cohorts.files import digest_of, read_json, write_json
from survival.cut_rules import MEDIAN, READ_OUTCOMES, CutPointMethod, CutPointRule, cut_values
from survival.endpoints import prediction_problems, refuse

LOW: Final = "low"
INTERMEDIATE: Final = "intermediate"
HIGH: Final = "high"

_FORMAT = "cmil-cutpoint"
_VERSION = 2
# A score read back from a text file may differ in its last bit. At this many decimals it does
# not, so the patient at the median keeps the group.
_SCORE_DECIMALS = 12


class CutPoint(BaseModel):
    """Scores that part patients into two or three groups, and what they were fitted on.

    Attributes
    ----------
    values
        One score (probability, 0 to 1), or two ascending. A patient is "high" where the score is
        greater than the last, "low" where it is not greater than the first, else "intermediate".
    method, endpoint, horizon
        Rule by which the values were taken.
    p_corrected
        Of the maximally selected statistic in the development cohort, corrected for the search
        (Lausen & Schumacher 1992).
    p_permutation
        Of the same statistic, by 9,999 permutations of the scores (Hothorn & Lausen 2003).
    n
        Development patients it was taken from.
    score_mean, score_sd
        Mean and standard deviation (n - 1) of those patients' scores; hazard ratios of every
        centre are per this standard deviation.
    model_digest, cohort_digest, scores_digest
        Digests of the model, of the development cohort, and of its patients with their scores.
    outcomes_digest
        Digest of the patients with their outcomes, where the rule reads them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    values: tuple[float, ...]
    method: CutPointMethod
    endpoint: str | None = None
    horizon: float | None = None
    p_corrected: float | None = None
    p_permutation: float | None = None
    n: int
    score_mean: float
    score_sd: float
    model_digest: str
    cohort_digest: str
    scores_digest: str
    outcomes_digest: str | None = None

    @property
    def value(self) -> float:
        """Score above which a patient is "high"."""
        return self.values[-1]


def fit_cutpoint(
    development: pd.DataFrame,
    cohort_digest: str,
    rule: CutPointRule = MEDIAN,
    outcomes: pd.DataFrame | None = None,
    seed: int = 0,
) -> CutPoint:
    """Take the cut-point from the development cohort's out-of-fold scores.

    The median is the usual one: the middle score, or the mean of the two middle scores.

    Parameters
    ----------
    development
        Rows of the predictions table whose `split` is "development" and `score_kind` "oof".
    cohort_digest
        Digest of the development cohort.
    rule
        Rule by which the values are taken.
    outcomes
        `time` and `event` of the rule's endpoint, indexed by patient id, for rules that read them.
    seed
        Of the permutations behind `p_permutation`.

    Raises
    ------
    DataError
        If a row is of another kind, the scores are fewer than two or all the same, or outcomes
        are needed and not there for every patient.
    """
    refuse(prediction_problems(development))
    if (development["split"] != "development").any():
        raise DataError(
            'predictions: column "split": a cut-point is fitted on development patients only; '
            "external patients must not move it"
        )
    scores = _rounded(development["score"])
    if len(scores) < 2 or np.ptp(scores) == 0:
        raise DataError(
            'predictions: column "score": a cut-point needs at least two different development '
            f"scores; there are {len(np.unique(scores))}"
        )
    known = _outcomes_of(development, rule, outcomes)
    cut = cut_values(rule, scores, known, seed)
    return CutPoint(
        values=cut.values,
        method=rule.method,
        endpoint=rule.endpoint,
        horizon=rule.horizon,
        p_corrected=cut.p_corrected,
        p_permutation=cut.p_permutation,
        n=len(scores),
        score_mean=float(scores.mean()),
        score_sd=float(scores.std(ddof=1)),
        model_digest=str(development["model_digest"].iloc[0]),
        cohort_digest=cohort_digest,
        scores_digest=scores_digest(development),
        outcomes_digest=None if known is None else _outcomes_digest(known),
    )


def apply_cutpoint(scores: ArrayLike, cut: CutPoint) -> NDArray[np.str_]:
    """Give each score its group: "low", "high", and "intermediate" between two values.

    A score equal to a value (at 12 decimals) is in the group below it.
    """
    return np.array(groups_of(cut))[np.searchsorted(cut.values, _rounded(scores), side="left")]


def groups_of(cut: CutPoint) -> tuple[str, ...]:
    """Name the groups that a cut-point makes, in the order of their scores."""
    return (LOW, HIGH) if len(cut.values) == 1 else (LOW, INTERMEDIATE, HIGH)


def write_lock(path: Path, cut: CutPoint) -> None:
    """Write the lock; one that is there already may only be the same.

    Raises
    ------
    DataError
        If `path` holds another cut-point.
    """
    if path.exists() and read_lock(path) != cut:
        raise DataError(
            f'"{path}" holds another cut-point and is not overwritten: use a new output folder, '
            "or delete the file deliberately"
        )
    replace_lock(path, cut)


def replace_lock(path: Path, cut: CutPoint) -> None:
    """Write the lock whatever is there; `write_lock` does not."""
    write_json(path, {"format": _FORMAT, "format_version": _VERSION, **cut.model_dump()})


def read_lock(path: Path) -> CutPoint:
    """Read a lock.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, no cut-point, or of a newer version.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise FileFormatError(f'"{path}" is not a cut-point lock (format "{_FORMAT}")')
    version = content.pop("format_version", None)
    if version == 1 and "value" in content:
        content["values"] = [content.pop("value")]
    elif version != _VERSION:
        raise FileFormatError(
            f'"{path}" has version {version} of the cut-point lock and this software reads '
            f"1 to {_VERSION}; upgrade cmil"
        )
    try:
        return CutPoint.model_validate(content)
    except ValidationError as error:
        fields = ", ".join(str(fault["loc"][0]) for fault in error.errors())
        raise FileFormatError(
            f'"{path}" is a damaged cut-point lock (wrong or missing: {fields}); restore it'
        ) from error


def _outcomes_of(
    development: pd.DataFrame, rule: CutPointRule, outcomes: pd.DataFrame | None
) -> pd.DataFrame | None:
    """Time and event of the development patients in their order, if the rule reads them."""
    if rule.method not in READ_OUTCOMES or outcomes is None:
        return None
    ids = development["patient_id"].astype(str)
    known = outcomes[["time", "event"]].set_axis(outcomes.index.astype(str)).reindex(ids)
    lacking = known.index[known.isna().any(axis=1)]
    if len(lacking):
        raise DataError(
            f'outcomes: endpoint "{rule.endpoint}": time or event missing of {len(lacking)} '
            f'development patients, "{lacking[0]}" first; leave them out of the scores too'
        )
    return known


def _outcomes_digest(outcomes: pd.DataFrame) -> str:
    numbers = outcomes.astype(np.float64)
    return digest_of(sorted(zip(numbers.index, *numbers.to_numpy().T.tolist(), strict=True)))


def scores_digest(development: pd.DataFrame) -> str:
    """Digest of the development patients with their scores, at 12 decimals."""
    ids = development["patient_id"].astype(str)
    return digest_of(sorted(zip(ids, _rounded(development["score"]).tolist(), strict=True)))


def _rounded(scores: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(scores, dtype=np.float64).round(_SCORE_DECIMALS)
