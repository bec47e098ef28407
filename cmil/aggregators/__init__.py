"""Aggregators: a bag of embeddings to one logit. One small file each, one interface."""

from cmil.aggregators.aggregator import Aggregation, Aggregator, Standardiser
from cmil.aggregators.bag_model import BagModel, BagScore
from cmil.aggregators.gated_attention import GatedAttention
from cmil.aggregators.mean import Mean
from cmil.settings import MilSettings
from cohorts.errors import SettingsError

__all__ = [
    "Aggregation",
    "Aggregator",
    "BagModel",
    "BagScore",
    "Standardiser",
    "build_aggregator",
]


def build_aggregator(settings: MilSettings, dimension: int, outputs: int = 1) -> Aggregator:
    """Build the aggregator a study names, for embeddings of length `dimension`.

    Raises
    ------
    SettingsError
        If it names one of the cMIL family, whose models exist only as fitted.
    """
    match settings.aggregator:
        case "mean":
            return Mean(dimension, outputs, settings.hidden, settings.dropout)
        case "gated_attention":
            return GatedAttention(
                dimension, outputs, settings.hidden, settings.attention_width, settings.dropout
            )
        case _:
            raise SettingsError(
                f'"{settings.aggregator}" is no network that can be built before it is fitted; '
                "cmil.model_fitting.fit_model fits it"
            )
