"""How a model is trained."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core.core_schema import ValidationInfo

from cmil.histograms.settings import MEMBERS, HistogramSettings
from cmil.nearest_name import nearest_name

# These say what is learnt and on whom it is tried, not how well.
_NOT_SEARCHED = frozenset(
    {
        *("task", "endpoint", "survival_loss", "horizon", "time_bins", "folds", "repeats"),
        *("hold_out", "search", "search_folds", "compare", "aggregator", "threshold", "memory_gb"),
    }
)

AggregatorName = Literal[
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
    "likelihood_histogram",
    "bag_of_words",
    "codebook",
    "cmil",
]

# Trained with a loss on instances, which a survival time has none of.
NEED_CLASSES = ("clam_sb", "clam_mb", "dsmil")

_READ_BY_MEMBERS = ("histogram", "instances_per_bag")
_READ_BY = {
    "histogram": MEMBERS,
    "top_k": ("top_k",),
    "instance_loss_weight": NEED_CLASSES,
    "attention_width": (
        *("attention", "gated_attention", "additive_attention"),
        *NEED_CLASSES,
    ),
}


def reads(aggregator: str, setting: str) -> bool:
    """Whether a setting that can be searched changes anything about an aggregator."""
    if aggregator in MEMBERS:
        return setting in _READ_BY_MEMBERS
    return aggregator in _READ_BY.get(setting, (aggregator,))


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
    task: Literal["binary", "classes", "survival"] = Field(
        "binary", description="what is learnt: the label, of two or more classes, or an endpoint"
    )
    endpoint: str = Field("", description='of task "survival": a name in [cohort.endpoints]')
    survival_loss: Literal["cox", "discrete_hazard"] = "cox"
    horizon: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="the score is the probability of the event by then",
    )
    time_bins: int = Field(4, ge=2, le=50, description='intervals of "discrete_hazard"')
    folds: int = Field(5, ge=2, le=50, description="of the patient-grouped cross-validation")
    repeats: int = Field(1, ge=1, le=100, description="of the cross-validation, dealt anew")
    hold_out: Literal["folds", "centres"] = Field(
        "folds", description="what is left out in turn: a fold of patients, or a centre"
    )
    epochs: int = Field(40, ge=1, description="at most; without patience, exactly")
    patience: int | None = Field(
        None, ge=1, description="epochs without a lower loss on a fifth of the training patients"
    )
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False)
    schedule: Literal["cosine", "constant"] = "cosine"
    optimiser: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = Field(1e-2, ge=0, allow_inf_nan=False)
    balance: Literal["loss", "sampling", "none"] = Field(
        "loss", description="how rare classes are made to count as much as frequent ones"
    )
    layers: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="widths of fully connected layers before that of `hidden`"
    )
    hidden: int = Field(128, ge=1, description="width an embedding is projected to")
    attention_width: int = Field(64, ge=1, description="width of the attention network")
    dropout: float = Field(0.25, ge=0, lt=1)
    top_k: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="instances that top_k averages: a number, or a share of the bag"
    )
    instance_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of a bag's instances left out of a training step"
    )
    instance_loss_weight: float = Field(
        0.3, ge=0, lt=1, description="of an aggregator that is also trained on single instances"
    )
    bags_per_step: int = Field(8, ge=1)
    instances_per_bag: int = Field(
        1024, ge=1, description="sampled anew for each training step; scoring uses all"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the products of a training step; scores are float32"
    )
    memory_gb: float = Field(
        8.0,
        ge=0,
        allow_inf_nan=False,
        description="bags that are larger together stay in their files, memory-mapped",
    )
    search: Mapping[str, tuple[Any, ...]] = Field(
        default_factory=dict, description="name of a setting -> values tried within each fold"
    )
    search_folds: int = Field(3, ge=2, le=20, description="of the search, within a fold")
    histogram: HistogramSettings = HistogramSettings()
    threshold: Literal["youden"] = Field(
        "youden", description="score to decision, chosen on out-of-fold scores"
    )

    @field_validator("top_k", mode="wrap")
    @classmethod
    def _a_number_or_a_share(
        cls, given: object, validate: ValidatorFunctionWrapHandler
    ) -> int | float:
        try:
            top_k: int | float = validate(given)
        except ValidationError as error:
            raise ValueError(
                "needs a whole number of instances, 1 or more, or a share of the bag, above 0 and "
                "below 1"
            ) from error
        return top_k

    @field_validator("search", mode="before")
    @classmethod
    def _values_are_listed(cls, given: object) -> object:
        for name, values in given.items() if isinstance(given, Mapping) else ():
            if not isinstance(values, list | tuple):
                raise ValueError(  # noqa: TRY004  # pydantic passes a TypeError on
                    f"{name} = {values!r} is no list; write the values to try in brackets"
                )
        return given

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

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        if self.task == "survival":
            if not self.endpoint or not self.horizon:
                raise ValueError(
                    'task "survival" needs endpoint, a name in [cohort.endpoints], and horizon, a '
                    "time in its unit"
                )
            if self.balance == "sampling":
                raise ValueError('balance "sampling" would distort the hazard; set it to "none"')
            if self.survival_loss == "cox" and self.bags_per_step < 2:
                raise ValueError(
                    "the loss of Cox compares patients; set bags_per_step to 2 or more"
                )
            for name in (self.aggregator, *self.compare):
                self._require_survival(name)
        if self.hold_out == "centres" and self.repeats > 1:
            raise ValueError("centres are left out once each; set repeats to 1")
        return self

    def _require_survival(self, name: AggregatorName) -> None:
        if name in NEED_CLASSES:
            raise ValueError(
                f'aggregator "{name}" is trained with a loss on single instances, which needs '
                "classes; choose another for survival"
            )
        if name in MEMBERS and self.survival_loss != "cox":
            raise ValueError(f'aggregator "{name}" ends in a Cox model; survival_loss is "cox"')

    @model_validator(mode="after")
    def _every_point_is_valid(self) -> Self:
        for name, values in self.search.items():
            self._require_searchable(name)
            if not values:
                raise ValueError(f"search.{name} has no value to try")
            points: list[MilSettings] = []
            for value in values:
                point = self._tried(name, value)
                if point in points:
                    raise ValueError(f"search.{name} names {value!r} twice; leave one out")
                points.append(point)
        return self

    def _require_searchable(self, name: str) -> None:
        known = [key for key in type(self).model_fields if key not in _NOT_SEARCHED]
        if name in known:
            return
        # Where it is a setting, no other was meant.
        close = None if name in type(self).model_fields else nearest_name(name, known)
        hint = f'did you mean "{close}"?' if close else f"those that can are {', '.join(known)}"
        raise ValueError(f"search.{name} is not a setting that can be searched; {hint}")

    def _tried(self, name: str, value: object) -> "MilSettings":
        try:
            return self.at({name: value})
        except ValidationError as error:
            said = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"search.{name}: {value!r}: {said}") from error

    @property
    def searched(self) -> Mapping[str, tuple[Any, ...]]:
        """What of `search` the aggregator reads; all values of the rest are the same to it."""
        return {k: values for k, values in self.search.items() if reads(self.aggregator, k)}

    def at(self, point: Mapping[str, Any]) -> "MilSettings":
        """Give the settings of one point of the search."""
        own = self.model_dump()
        tables = {k: {**own[k], **v} for k, v in point.items() if isinstance(v, Mapping)}
        return MilSettings.model_validate({**own, **point, **tables, "search": {}})
