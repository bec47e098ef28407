"""How a model is trained."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cmil.histograms.settings import HistogramSettings


class MilSettings(BaseModel):
    """The `[mil]` table of a study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    aggregator: Literal[
        "mean", "gated_attention", "likelihood_histogram", "bag_of_words", "codebook", "cmil"
    ] = Field("gated_attention", description="how a bag's instances become one logit")
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
    histogram: HistogramSettings = HistogramSettings()
    threshold: Literal["youden"] = Field(
        "youden", description="score to decision, chosen on out-of-fold scores"
    )
