"""What is asked of a validation, decided before the external patients are looked at."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cmil.validation.bootstrap import SAMPLES
from cmil.validation.decisions import Interval
from cmil.validation.validate import Questions

_Share = Annotated[float, Field(gt=0, lt=1)]
_Reached = Annotated[float, Field(gt=0, le=1)]
_Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class CostSettings(BaseModel):
    """The `[validation.cost]` table: what wrong decisions cost, in any unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    missed: _Amount = Field(description="of a missed metastasis")
    false_alarm: _Amount = Field(description="of a decision for metastasis where there is none")
    prevalence: _Share = Field(description="at which the model is to be used")


class ReferralSettings(BaseModel):
    """The `[validation.referral]` table: how often an answer may be wrong."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    miss_rate: _Share = Field(description='of patients with metastasis, those answered "none"')
    false_alarm_rate: _Share = Field(description='of patients without, those answered "metastasis"')


class ValidationSettings(BaseModel):
    """The `[validation]` table of a study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sensitivity: _Reached | None = Field(
        None, description="also fit the threshold that reaches it in development"
    )
    specificity: _Reached | None = Field(
        None, description="also fit the threshold that reaches it in development"
    )
    cost: CostSettings | None = Field(
        None, description="also fit the threshold of least expected cost"
    )
    referral: ReferralSettings | None = Field(
        None, description="fit a rule that answers or refers; without it there is none"
    )
    prevalences: tuple[_Share, ...] = Field(
        (), description="at which predictive values are given, beside the patients' own"
    )
    interval: Interval = Field("wilson", description="of proportions")
    comparator: str | None = Field(
        None, description="column of a clinical model's probabilities, or decisions of 0 and 1"
    )
    subgroups: tuple[str, ...] = Field(
        (), description="columns of a few classes each, in which performance is given"
    )
    samples: int = Field(SAMPLES, ge=20, description="of the bootstrap")
    # Of a machine and a cohort, not of the protocol: no lock holds it.
    ratings: Path | None = Field(None, description="table of what readers said of the patients")

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the manifest that are read for the validation."""
        return tuple(dict.fromkeys([*filter(None, [self.comparator]), *self.subgroups]))

    @property
    def questions(self) -> Questions:
        """What `cmil.validation.validate_scores` is asked."""
        return Questions(
            self.prevalences, self.interval, self.comparator, self.subgroups, self.samples
        )
