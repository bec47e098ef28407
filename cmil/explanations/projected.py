"""Project a bag's instances once, where parts of the bag are to be scored many times."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from cmil.aggregators import Aggregator, BagModel, Standardiser

_CHUNK = 4096


def projected(model: BagModel, instances: Tensor) -> tuple[BagModel, Tensor]:
    """Give a model and shorter instances that together score as `model` and `instances` do.

    An aggregator first projects each instance alone (standardise, linear, ReLU), which is most of
    its work. Its twin takes what comes out of that: its own projection is the identity, which ReLU
    leaves as it is. Where there is no such projection, where it does not shorten, or where the
    twin does not prove equal on the whole bag, model and instances are given back.

    Parameters
    ----------
    instances
        (N, D)
    """
    if not isinstance(model, Aggregator):
        return model, instances
    project = _projection_of(model)
    if project is None:
        return model, instances
    model.eval()
    with torch.inference_mode():
        short = torch.cat(
            [project(model.standardise(part.float())) for part in instances.split(_CHUNK)]
        )
    twin = _twin(model, project, short.shape[1])
    same = np.allclose(
        twin.score(short).logits, model.score(instances).logits, rtol=1e-4, atol=1e-4
    )
    return (twin, short) if same else (model, instances)


def _twin(model: Aggregator, project: nn.Sequential, width: int) -> Aggregator:
    identity = nn.Linear(width, width)
    nn.init.eye_(identity.weight)
    nn.init.zeros_(identity.bias)
    twin = copy.deepcopy(model)
    twin.standardise = Standardiser(width)
    twin.project = nn.Sequential(identity, *list(project)[1:3])
    return twin.eval().requires_grad_(False)


def _projection_of(model: Aggregator) -> nn.Sequential | None:
    project = getattr(model, "project", None)
    if not isinstance(project, nn.Sequential) or not isinstance(project[0], nn.Linear):
        return None
    return project if project[0].out_features < project[0].in_features else None
