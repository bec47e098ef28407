"""How a model is trained."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core.core_schema import ValidationInfo

AggregatorName = Literal["mean", "gated_attention"]


class MilSettings(BaseModel):
    """The `[mil]` table of a study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    aggregator: AggregatorName = Field(
        "gated_attention", description="how a bag's instances become one logit"
    )
    # Left out of every record of a model: what it is compared with decides nothing in it.
    compare: tuple[AggregatorName, ...] = Field(
        (), exclude=True, description="aggregators trained beside it, on the same folds and seeds"
    )
    folds: int = Field(5, ge=2, le=50, description="of the patient-grouped cross-validation")
    epochs: int = Field(40, ge=1, description="fixed; nothing is stopped early on held-out data")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    hidden: int = Field(128, ge=1, description="width an embedding is projected to")
    attention_width: int = Field(64, ge=1, description="width of the attention network")
    dropout: float = Field(0.25, ge=0, lt=1)
    bags_per_step: int = Field(8, ge=1)
    instances_per_bag: int = Field(
        1024, ge=1, description="sampled anew for each training step; scoring uses all"
    )
    threshold: Literal["youden"] = Field(
        "youden", description="score to decision, chosen on out-of-fold scores"
    )

    @field_validator("compare")
    @classmethod
    def _compare_with_others(
        cls, names: tuple[AggregatorName, ...], already: ValidationInfo
    ) -> tuple[AggregatorName, ...]:
        if already.data.get("aggregator") in names:
            raise ValueError("names the study's own aggregator; leave that out")
        if len(set(names)) < len(names):
            raise ValueError("names an aggregator twice")
        return names
