"""Settings of the survival stage; the cohort's settings name the endpoints."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from survival.cox import PenaltyKind
from survival.curves import Interval
from survival.cut_rules import CutPointRule
from survival.neuroblastoma_factors import NeuroblastomaColumns


class SurvivalSettings(BaseModel):
    """What the statistician decides before the first curve is drawn.

    Attributes
    ----------
    cutpoint
        How the cut-point is taken from the development cohort's out-of-fold scores; a method's
        name alone, or a table.
    covariates
        Numeric columns of the patients table that the adjusted Cox models hold beside the score.
    penalty
        Of the adjusted Cox models, where events are few for so many terms: "firth" penalises all
        of them, "ridge" shrinks the clinical terms and not the score, for ratios without
        intervals.
    risk_group
        Columns from which neuroblastoma's known risk group follows; with `covariates` it is the
        clinical model that the score has to add to.
    subgroups
        Columns of the patients table, words or numbers, in whose levels the score is looked at.
    horizons
        Times, in the endpoint's unit, at which AUC, Brier score, calibration and net benefit are
        given; without any, `survival.study.plan.default_horizons` takes them from the development
        follow-up.
    rmst_until
        Time at which restricted means end; the last horizon by default.
    landmark
        Time at which the landmark analysis starts; none without it.
    interval
        Scale of the limits of survival curves.
    bootstrap_samples
        Of all intervals that are bootstrapped.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    cutpoint: CutPointRule = CutPointRule()
    covariates: tuple[str, ...] = ()
    penalty: PenaltyKind = "none"
    risk_group: NeuroblastomaColumns | None = None
    subgroups: tuple[str, ...] = ()
    horizons: tuple[float, ...] = ()
    rmst_until: float | None = Field(default=None, gt=0)
    landmark: float | None = Field(default=None, gt=0)
    interval: Interval = "log"
    bootstrap_samples: int = Field(default=1000, ge=20)

    @field_validator("cutpoint", mode="before")
    @classmethod
    def _method_alone(cls, value: Any) -> Any:
        return {"method": value} if isinstance(value, str) else value

    @field_validator("horizons")
    @classmethod
    def _ascending(cls, horizons: tuple[float, ...]) -> tuple[float, ...]:
        if list(horizons) != sorted(set(horizons)) or any(time <= 0 for time in horizons):
            raise ValueError("give times above 0, ascending, each once")
        return horizons

    @property
    def words(self) -> tuple[str, ...]:
        """Columns of the patients table that need not be numbers: risk factors and subgroups."""
        factors = self.risk_group.columns if self.risk_group else ()
        numeric = set(self.covariates)
        named = dict.fromkeys([*factors, *self.subgroups])
        return tuple(name for name in named if name not in numeric)
