"""Self-attention over a long sequence, at a cost that grows with its length only."""

import torch
from torch import Tensor, nn

from cmil.aggregators.dropout import Dropout

_DROPOUT = 0.1
_NEIGHBOURS = 33
_STEPS_OF_INVERSION = 6
# Up to as many tokens for each landmark the exact attention costs less than the approximation.
_EXACT_UP_TO = 8


class NystromAttention(nn.Module):
    """Nyström self-attention, Xiong et al. 2021 (AAAI, arXiv 2102.03902), eq. 13 and 14.

    softmax(Q K^T) V is taken for softmax(Q L_k^T) pinv(softmax(L_q L_k^T)) softmax(L_q K^T) V,
    where the landmarks L_q and L_k, half as many as the width, are means over equal stretches of
    the sequence; a convolution over each head's values is added. Multiplied from the right,
    nothing of the size of sequence times landmarks is kept. The first token is the class token.

    Differences from lucidrains/nystrom-attention, which TransMIL uses: attention is exact where
    the sequence is no longer than 8 times the landmarks; stretches differ by at most one in
    length, where there zeros are added before the sequence that take part in the softmax; the
    inversion starts from each head's own scale; the class token, which has no neighbours, takes no
    part in the convolution. There it sees the first 16 instances of a bag one by one, by which a
    network learns small cohorts by heart (`docs/benchmarks.md`).
    """

    def __init__(self, width: int, heads: int, class_token_only: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.landmarks = max(width // 2, 1)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        padding = (_NEIGHBOURS // 2, 0)
        self.around = (
            None
            if class_token_only
            else nn.Conv2d(
                heads, heads, (_NEIGHBOURS, 1), padding=padding, groups=heads, bias=False
            )
        )
        self.out = nn.Sequential(nn.Linear(width, width), Dropout(_DROPOUT))

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend from all tokens to all.

        Parameters
        ----------
        tokens
            (b, n, width)

        Returns
        -------
        (b, n, width), or (b, 1, width) of the class token alone, where that is all there is to say.
        """
        asked = tokens[:, :1] if self.around is None else tokens
        of_query, of_key, of_value = self.query_key_value.weight.chunk(3)
        query = self._in_heads(nn.functional.linear(asked, of_query))
        key, value = (
            self._in_heads(nn.functional.linear(tokens, weight)) for weight in (of_key, of_value)
        )
        if tokens.shape[1] <= _EXACT_UP_TO * self.landmarks:
            attended = nn.functional.scaled_dot_product_attention(query, key, value)
        else:
            landmarks = _means_of_stretches(tokens, self.landmarks)
            attended = _nystrom(
                query,
                key,
                value,
                self._in_heads(nn.functional.linear(landmarks, of_query)),
                self._in_heads(nn.functional.linear(landmarks, of_key)),
            )
        if self.around is not None:
            around = self.around(value[:, :, 1:])
            attended = attended + nn.functional.pad(around, (0, 0, 1, 0))
        out: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out

    def _in_heads(self, tokens: Tensor) -> Tensor:
        return tokens.view(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


def _means_of_stretches(tokens: Tensor, count: int) -> Tensor:
    """Divide (b, n, width) into stretches that differ by at most one in length: (b, count, width).

    A projection of the mean is the mean of projections, so landmarks need no projected sequence.
    """
    length, longer = divmod(tokens.shape[1], count)
    head, rest = tokens.split([longer * (length + 1), (count - longer) * length], dim=1)
    means = [
        part.reshape(len(part), -1, size, part.shape[2]).mean(dim=2)
        for part, size in ((head, length + 1), (rest, length))
        if part.shape[1]
    ]
    return torch.cat(means, dim=1)


def _nystrom(query: Tensor, key: Tensor, value: Tensor, of_query: Tensor, of_key: Tensor) -> Tensor:
    """Eq. 13 from the right; all are (b, heads, tokens or landmarks, width of a head)."""
    attend = nn.functional.scaled_dot_product_attention
    gathered = attend(of_query, key, value)
    scores = (of_query @ of_key.transpose(-1, -2)).float() / of_query.shape[-1] ** 0.5
    inverted = _pseudo_inverse(torch.softmax(scores, dim=-1))
    return attend(query, of_key, (inverted @ gathered.float()).to(query.dtype))


def _pseudo_inverse(matrix: Tensor) -> Tensor:
    """Moore-Penrose inverse of (..., m, m) rows that sum to 1, by the iteration of eq. 14."""
    with torch.autocast(matrix.device.type, enabled=False):
        identity = torch.eye(matrix.shape[-1], device=matrix.device)
        # Rows sum to 1, so of the two norms that bound the largest singular value one is 1.
        inverse = matrix.transpose(-1, -2) / matrix.sum(dim=-2).amax(dim=-1)[..., None, None]
        for _ in range(_STEPS_OF_INVERSION):
            product = matrix @ inverse
            inner = 7 * identity - product
            middle = 15 * identity - product @ inner
            inverse = inverse @ (13 * identity - product @ middle) / 4
    return inverse
