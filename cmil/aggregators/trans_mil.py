"""TransMIL: every instance looks at every other before the bag is judged."""

import math

import torch
from torch import Tensor, nn

from cmil.aggregators.aggregator import Aggregation
from cmil.aggregators.instance_map import InstanceMap
from cmil.aggregators.nystrom_attention import NystromAttention
from cmil.aggregators.shape import Shape

_MOST_HEADS = 8


class TransMil(InstanceMap):
    """Transformer MIL, Shao et al. 2021 (NeurIPS, arXiv 2106.00908), algorithms 1 to 3.

    Projected instances are laid out row by row in the smallest square that holds them, its end
    filled with the first ones again. A class token goes before them; then come self-attention, a
    convolution over the square (PPEG), and self-attention again, each added to what it was given.
    The logit is linear in the class token.

    The order of instances matters: neighbours in the square are neighbours in the bag. Neither
    contributions nor attention are given: tokens mix, and the approximation's weights may be
    negative. Memory grows with the bag, in training by 17 times its projected instances.

    Differences from the authors' code (szc19990412/TransMIL): embeddings are standardised;
    attention is exact for bags of ordinary size, see `NystromAttention`; the second attention is
    computed for the class token alone, which is all that is read of it; the class token takes no
    part in the convolutions over a sequence's neighbours; the three convolutions of PPEG are one,
    of the sum of their kernels; bags of a batch do not touch each other.
    """

    order_matters = True

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        heads = math.gcd(shape.width, _MOST_HEADS)
        self.class_token = nn.Parameter(torch.randn(1, 1, shape.width))
        self.first_norm, self.second_norm = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)
        self.first_attention = NystromAttention(shape.width, heads)
        self.second_attention = NystromAttention(shape.width, heads, class_token_only=True)
        self.positions = Ppeg(shape.width)
        self.norm = nn.LayerNorm(shape.width)
        self.classify = nn.Linear(shape.width, shape.outputs)

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags: (B, N, D) and (B, N) bool."""
        projected = self.say_of_all(lambda h: h, instances, mask)
        tokens = projected.new_zeros(len(mask), projected.shape[2])
        sizes = mask.sum(dim=1)
        for size in sizes.unique().tolist():  # bags of one size go together
            bags = (sizes == size).nonzero()[:, 0]
            together = projected[bags][mask[bags]].view(len(bags), size, -1)
            tokens = tokens.index_copy(0, bags, self._class_tokens(together).float())
        logits: Tensor = self.classify(self.norm(tokens))
        return Aggregation(logits.float(), contributions=None, attention=None)

    def _class_tokens(self, projected: Tensor) -> Tensor:
        """Of b bags of one size: (b, N, hidden) to (b, hidden)."""
        size = projected.shape[1]
        side = math.isqrt(size - 1) + 1
        first = self.class_token.expand(len(projected), -1, -1)
        tokens = torch.cat([first, projected, projected[:, : side * side - size]], dim=1)
        tokens = tokens + self.first_attention(self.first_norm(tokens))
        placed = self.positions(tokens[:, 1:], side)
        tokens = torch.cat([tokens[:, :1], placed], dim=1)
        read: Tensor = self.second_attention(self.second_norm(tokens))
        return (tokens[:, :1] + read)[:, 0]


class Ppeg(nn.Module):
    """Pyramid position encoding generator, Shao et al. 2021, algorithm 3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, width, size, padding=size // 2, groups=width) for size in (7, 5, 3)
        )

    def forward(self, tokens: Tensor, side: int) -> Tensor:
        """Add to each of (b, side * side, width) tokens what lies around it."""
        square = tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
        around = nn.functional.conv2d(square, *self._summed(), padding=3, groups=square.shape[1])
        return (square + around).flatten(2).transpose(1, 2)

    def _summed(self) -> tuple[Tensor, Tensor]:
        """Kernel and bias of the one convolution that does what the three do in sum."""
        weights: list[Tensor] = []
        biases: list[Tensor] = []
        for convolution in self.convolutions:
            weight = convolution.get_parameter("weight")
            weights.append(nn.functional.pad(weight, [(7 - weight.shape[-1]) // 2] * 4))
            biases.append(convolution.get_parameter("bias"))
        return torch.stack(weights).sum(dim=0), torch.stack(biases).sum(dim=0)
