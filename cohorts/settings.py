"""Which manifest is read and what its columns mean."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from cohorts.endpoints import Endpoint
from cohorts.strata import ALL_CLASSES

# What stands in a manifest where nothing is known, in small letters.
MISSING = frozenset({"", "na", "n/a", "nan", "null"})

# Of a table of predictions; a class has the column "score_<class>".
_TAKEN = ("kind", "sd")


class CohortSettings(BaseModel):
    """The `[cohort]` table of a study: the manifest and the names of its patient-level columns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifest: Path = Field(description="CSV, one row per image source; relative to the study file")
    label: str = Field(
        "label", description='column with 0 (no metastasis) or 1; "" where it is not known'
    )
    classes: tuple[str, ...] = Field(
        (), description="names the label has instead of 0 and 1, if there are more than two"
    )
    endpoints: dict[str, Endpoint] = Field(
        default_factory=dict, description="name of an endpoint -> its time and event columns"
    )

    @field_validator("classes")
    @classmethod
    def _more_than_two(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if classes and (len(classes) < 3 or len(set(classes)) < len(classes) or not all(classes)):
            raise ValueError("name three or more different classes; for two use labels 0 and 1")
        taken = [name for name in classes if name in _TAKEN]
        if taken:
            raise ValueError(
                f'class "{taken[0]}": predictions have a column "score_{taken[0]}" already; '
                "give the class another name"
            )
        if ALL_CLASSES in classes:
            raise ValueError(f'"{ALL_CLASSES}" is what tables call all of them; name it otherwise')
        missing = [name for name in classes if name.lower() in MISSING]
        if missing:
            raise ValueError(
                f'class "{missing[0]}" means in a manifest that nothing is known; give it another '
                "name"
            )
        return classes
