"""Aggregators: a bag of embeddings to one logit. One small file each, one interface."""

from collections.abc import Callable

from cmil.aggregators.additive_attention import AdditiveAttention
from cmil.aggregators.aggregator import Aggregation, Aggregator, Standardiser
from cmil.aggregators.attention import Attention
from cmil.aggregators.bag_model import BagModel, BagScore
from cmil.aggregators.clam import ClamMb, ClamSb
from cmil.aggregators.dsmil import Dsmil
from cmil.aggregators.gated_attention import GatedAttention
from cmil.aggregators.max import Max
from cmil.aggregators.mean import Mean
from cmil.aggregators.noisy_or import NoisyOr
from cmil.aggregators.shape import Shape
from cmil.aggregators.top_k import TopK
from cmil.aggregators.trans_mil import TransMil
from cmil.settings import MilSettings
from cohorts.errors import SettingsError

__all__ = [
    "Aggregation",
    "Aggregator",
    "BagModel",
    "BagScore",
    "Shape",
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
    makers: dict[str, Callable[[Shape], Aggregator]] = {
        "mean": Mean,
        "max": Max,
        "top_k": TopK,
        "noisy_or": NoisyOr,
        "attention": Attention,
        "gated_attention": GatedAttention,
        "clam_sb": ClamSb,
        "clam_mb": ClamMb,
        "dsmil": Dsmil,
        "trans_mil": TransMil,
        "additive_attention": AdditiveAttention,
    }
    if settings.aggregator not in makers:
        raise SettingsError(
            f'"{settings.aggregator}" is no network that can be built before it is fitted; '
            "cmil.training.model_fitting.fit_model fits it"
        )
    shape = Shape(
        dimension,
        outputs,
        (*settings.layers, settings.hidden),
        settings.attention_width,
        settings.dropout,
        settings.top_k,
    )
    return makers[settings.aggregator](shape)
