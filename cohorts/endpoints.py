"""An endpoint: which columns of the cohort hold a patient's time and event, and in what unit."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

TimeUnit = Literal["days", "months", "years"]


class Endpoint(BaseModel):
    """Time from the smear to the event or to the last contact, and which of the two it was.

    Attributes
    ----------
    time
        Column of the time under observation, in `unit`, greater than zero.
    event
        Column that is 1 where the event was seen and 0 where the patient was censored.
    unit
        Unit of `time`; printed on axes and in tables, never converted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: str
    event: str
    unit: TimeUnit = "months"
