"""Rules by which a cut-point is taken from development scores, and what each of them reads."""

from typing import Final, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, model_validator

from cohorts.errors import DataError
from survival.maximally_selected import maximally_selected
from survival.product_limit import FloatArray
from survival.youden import youden_cut

CutPointMethod = Literal["median", "tertiles", "youden", "maximally_selected", "given"]
READ_OUTCOMES: Final = ("youden", "maximally_selected")


class CutPointRule(BaseModel):
    """How the cut-point is taken from the development cohort's out-of-fold scores.

    Attributes
    ----------
    method
        "median": two groups of equal size. "tertiles": three. "youden": largest sensitivity plus
        specificity for the event by `horizon`. "maximally_selected": largest log-rank statistic
        between 10 and 90% of patients, with its corrected p. "given": `values` as they are.
        Youden and the maximally selected statistic read the development outcomes; the groups they
        make then differ in the development cohort by construction, and only external patients
        tell whether they do.
    endpoint
        Name of the endpoint whose outcomes are read; needed by those two.
    horizon
        In the endpoint's unit; needed by "youden".
    values
        One value, or two ascending, from 0 to 1; needed by "given".
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    method: CutPointMethod = "median"
    endpoint: str | None = None
    horizon: float | None = None
    values: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {
            "endpoint": (self.endpoint is not None, self.method in READ_OUTCOMES),
            "horizon": (self.horizon is not None, self.method == "youden"),
            "values": (bool(self.values), self.method == "given"),
        }
        for name, (is_there, is_needed) in needed.items():
            if is_there != is_needed:
                says = "is needed" if is_needed else "means nothing; leave it out"
                raise ValueError(f'cut-point method "{self.method}": {name} {says}')
        if self.horizon is not None and self.horizon <= 0:
            raise ValueError(f"horizon: {self.horizon:g} is not above 0")
        inside = all(0 <= value <= 1 for value in self.values)
        if len(self.values) > 2 or not inside or list(self.values) != sorted(set(self.values)):
            raise ValueError("values: give one score, or two ascending, from 0 to 1")
        return self


MEDIAN: Final = CutPointRule()

_SAID: Final = {
    "median": "the median of the scores",
    "tertiles": "the tertiles of the scores",
    "youden": "the score with the largest Youden index for {endpoint} by {horizon}",
    "maximally_selected": "the score with the largest log-rank statistic of {endpoint}",
    "given": "given beforehand",
}


def rule_text(method: CutPointMethod, endpoint: str | None, horizon: float | None) -> str:
    """Say in words how a rule takes its values, and whether it looks at outcomes."""
    of = _SAID[method].format(endpoint=endpoint, horizon=f"{horizon:g}" if horizon else "")
    looked = "whose outcomes were looked at" if method in READ_OUTCOMES else ""
    return f"{of}, {looked or 'without a look at any outcome'}"


class Cut(NamedTuple):
    """Cut values, ascending, and p values that count the search where there was one."""

    values: tuple[float, ...]
    p_corrected: float | None = None
    p_permutation: float | None = None


def cut_values(
    rule: CutPointRule, scores: FloatArray, outcomes: pd.DataFrame | None, seed: int = 0
) -> Cut:
    """Take the cut values by a rule.

    Parameters
    ----------
    rule
        The rule.
    scores
        Development scores (n,).
    outcomes
        `time` and `event` of the same patients, in the same order; only for rules that read them.
    seed
        Of the permutations by which the maximally selected statistic is tested, too.

    Raises
    ------
    DataError
        If the rule needs outcomes and there are none, or they allow no cut.
    """
    if rule.method == "median":
        return Cut((float(np.median(scores)),))
    if rule.method == "tertiles":
        low, high = np.quantile(scores, [1 / 3, 2 / 3]).tolist()
        if low == high:
            raise DataError("score: too few different values for three groups; use the median")
        return Cut((low, high))
    if rule.method == "given":
        return Cut(rule.values)
    if outcomes is None:
        raise DataError(
            f'cut-point method "{rule.method}" reads the development outcomes; give time and event '
            f'of endpoint "{rule.endpoint}"'
        )
    time, event = outcomes["time"], outcomes["event"]
    if rule.horizon is not None:
        return Cut((youden_cut(scores, time, event, rule.horizon).cut,))
    found = maximally_selected(scores, time, event, np.random.default_rng(seed))
    return Cut((found.cut,), found.p_lausen92, found.p_permutation)
