"""Settings of the survival stage; the cohort's settings name the endpoints."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

CutPointMethod = Literal["median", "tertiles", "youden", "maximally_selected", "given"]


class SurvivalSettings(BaseModel):
    """What the statistician decides before the first curve is drawn.

    Attributes
    ----------
    cutpoint
        How the cut-point is taken from the development cohort's out-of-fold scores. Only a rule
        that never sees an outcome is offered: searching the cut with the best log-rank test makes
        40 % of null studies significant (Altman et al. 1994, J Natl Cancer Inst 86:829).
    covariates
        Numeric columns of the patients table that the adjusted Cox models hold beside the score.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cutpoint: Literal["median"] = "median"
    covariates: tuple[str, ...] = ()
