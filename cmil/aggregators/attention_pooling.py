"""Attention pooling of what single instances say."""

import torch
from torch import Tensor


def gated(values_and_gates: Tensor) -> Tensor:
    """Ilse et al. 2018, eq. 9: tanh(V h) * sigmoid(U h), from (n, 2 A), V h before U h: (n, A)."""
    values, gates = values_and_gates.chunk(2, dim=-1)
    return tanh(values) * torch.sigmoid(gates)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, computed in float32: in bfloat16 a processor takes ten times as long."""
    return torch.tanh(x.float()).to(x.dtype)


def attend(
    relevance: Tensor, evidence: Tensor, mask: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Weigh each instance's evidence by the softmax of its relevance, and sum up.

    With evidence linear in an instance this is attention pooling and a linear classifier (Ilse et
    al. 2018, eq. 7); attention times evidence is then the instance's exact share of the logit.

    Parameters
    ----------
    relevance
        (B, N, H) float32, H = 1 for all outputs or K, one for each.
    evidence
        (B, N, K) float32.
    mask
        (B, N) bool.
    bias
        (K,), or None for none.

    Returns
    -------
    logits, contributions, attention
        (B, K), (B, N, K) and (B, N, H), as an `Aggregation` has them.
    """
    hidden = ~mask[..., None]
    attention = torch.softmax(relevance.masked_fill(hidden, -torch.inf), dim=1)
    contributions = attention * evidence
    logits = contributions.sum(dim=1)
    return logits if bias is None else logits + bias, contributions, attention
