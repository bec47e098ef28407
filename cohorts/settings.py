"""Which manifest is read and what its columns mean."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from cohorts.endpoints import Endpoint


class CohortSettings(BaseModel):
    """The `[cohort]` table of a study: the manifest and the names of its patient-level columns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifest: Path = Field(description="CSV, one row per image source; relative to the study file")
    label: str = Field(
        "label", description='column with 0 (no metastasis) or 1; "" where it is not known'
    )
    endpoints: dict[str, Endpoint] = Field(
        default_factory=dict, description="name of an endpoint -> its time and event columns"
    )
