"""What else is known of patches, for the explanations to be checked against."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class ExplanationSettings(BaseModel):
    """The `[explanations]` table of a study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    annotations: Path | None = Field(
        None, description="folder of the areas that hold what the label means, one file a slide"
    )
    annotation_class: str | None = Field(
        None, description="only areas of this class count; without it, all"
    )
    patch_tables: tuple[Path, ...] = Field(
        (), description="CSV files with slide_id, x, y and measures of each patch"
    )
