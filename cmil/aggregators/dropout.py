"""Dropout that costs little beside the matrix products of a step."""

import torch
from torch import Tensor, nn

_LEVELS = 256


class Dropout(nn.Module):
    """Leave out a share of the numbers in training, and scale up the rest (Srivastava et al. 2014).

    Each number is decided by a byte of its own, and eight of them are drawn at once.
    `torch.nn.Dropout` draws one number after another on a processor, in one thread, which was a
    fifth to a third of a step of gated attention.

    Parameters
    ----------
    share
        From 0 to below 1; rounded to a multiple of 1/256, by which the rest is then scaled.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self._below = min(round(share * _LEVELS), _LEVELS - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape and floating type."""
        if not self.training or not self._below:
            return x
        drawn = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device)
        of_each = drawn.random_(-(2**63), None).view(torch.uint8)[: x.numel()].view(x.shape)
        # Every byte is exact in bfloat16; compared as bytes they would take ten times as long.
        kept = of_each.to(x.dtype).ge_(self._below)
        return x * kept.mul_(_LEVELS / (_LEVELS - self._below))
