"""An endpoint: which columns of the cohort hold a patient's time and event, and in what unit."""

from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, field_validator

TimeUnit = Literal["days", "months", "years"]


class Endpoint(BaseModel):
    """Time from the smear to the event or to the last contact, and which of the two it was.

    Attributes
    ----------
    time
        Column of the time under observation, in `unit`, greater than zero.
    event
        Column that is 1 where the event was seen and 0 where the patient was censored; 2, 3 and
        so on where an event of `competing` came first.
    unit
        Unit of `time`; printed on axes and in tables, never converted.
    entry
        Column of the time at which a patient came under observation, in `unit` (left truncation):
        at risk at t if entry < t <= time. Without it everybody is observed from 0 on.
    competing
        Names of the events that keep this one from happening, in the order of their codes from 2.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: str
    event: str
    unit: TimeUnit = "months"
    entry: str | None = None
    competing: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that a patient's outcome is read from."""
        return (self.time, self.event, *([self.entry] if self.entry else []))

    @field_validator("competing")
    @classmethod
    def _named_once(cls, competing: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(competing)) < len(competing) or not all(name.strip() for name in competing):
            raise ValueError("name each competing event once")
        return competing


def event_of_interest(codes: "pd.Series[float]") -> "pd.Series[float]":
    """Code the event column as 1 for the event itself, 0 for a competing one; NaN stays.

    The cause-specific view: a patient leaves observation with whichever event comes first.
    """
    return codes.mask(codes > 1, 0)
