"""How a model is trained."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class MilSettings(BaseModel):
    """The `[mil]` table of a study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    aggregator: Literal[
        "mean",
        "max",
        "top_k",
        "noisy_or",
        "attention",
        "gated_attention",
        "clam_sb",
        "clam_mb",
        "dsmil",
        "trans_mil",
        "additive_attention",
    ] = Field("gated_attention", description="how a bag's instances become one logit")
    folds: int = Field(5, ge=2, le=50, description="of the patient-grouped cross-validation")
    epochs: int = Field(40, ge=1, description="fixed; nothing is stopped early on held-out data")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    hidden: int = Field(128, ge=1, description="width an embedding is projected to")
    attention_width: int = Field(64, ge=1, description="width of the attention network")
    dropout: float = Field(0.25, ge=0, lt=1)
    top_k: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="instances that top_k averages: a number, or a share of the bag"
    )
    bags_per_step: int = Field(8, ge=1)
    instances_per_bag: int = Field(
        1024, ge=1, description="sampled anew for each training step; scoring uses all"
    )
    threshold: Literal["youden"] = Field(
        "youden", description="score to decision, chosen on out-of-fold scores"
    )
