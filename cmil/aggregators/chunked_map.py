"""A network applied to one instance after another, in memory that does not grow with the bag.

Instances are read in chunks, straight from the precision they are stored in, so no second copy of
a large bag is made. What training keeps of one for the way back is the projected instances, and not
even those where they would take more than `KEPT_BYTES`; all else is computed a second time.

`torch.utils.checkpoint`, chunk by chunk, would do the same but for the memory: what it leaves
between two chunks keeps the allocator from using theirs again, which costs 200 MB.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cmil.aggregators.linear import linear

# Instances that are mapped at once: enough for an efficient matrix product, few enough for what
# lies between two products to stay in the processor's cache.
CHUNK = 2048
_BLOCK = 128
# Instances of a step above which what follows the projection is computed again on the way back.
RECOMPUTE_ABOVE = 16_384
# 100,000 projected instances of width 512 in float32 are kept, more are computed again.
KEPT_BYTES = 210_000_000

Say = Callable[..., Tensor]
"""From (n, hidden) projected instances, and what else is given, to (n, F) numbers."""


@dataclass(frozen=True)
class ChunkedMap:
    """What is said of which instances.

    Attributes
    ----------
    rows
        (M, D) in any floating type.
    places
        (n,) int64, which rows are meant; None for all.
    mean
        (D,), taken off in float32 before anything is rounded: embeddings may lie far from 0.
    say
        From ReLU((x - mean) weight^T + bias), (n, hidden), and `given` to (n, F) float32.
    given
        Tensors that may have a way back of their own.
    """

    rows: Tensor
    places: Tensor | None
    mean: Tensor
    say: Say
    given: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.rows) if self.places is None else len(self.places)

    def chunks(self) -> Iterator[tuple[slice, slice | Tensor]]:
        """Yield where a chunk stands among the n, and where among the rows."""
        for first in range(0, len(self), CHUNK):
            chunk = slice(first, min(first + CHUNK, len(self)))
            yield chunk, chunk if self.places is None else self.places[chunk]

    def precision(self) -> torch.dtype:
        """Of matrix products: float32, or what autocast says."""
        device = self.rows.device.type
        if torch.is_autocast_enabled(device):
            return torch.get_autocast_dtype(device)
        return torch.float32


def apply(of_rows: ChunkedMap, weight: Tensor, bias: Tensor, learnt: Sequence[Tensor]) -> Tensor:
    """Project instances and say of each what there is to say.

    Parameters
    ----------
    weight, bias
        (hidden, D) and (hidden,) of the projection.
    learnt
        Parameters that `say` may use.

    Returns
    -------
    (n, F) float32.
    """
    precision = of_rows.precision()
    if not torch.is_grad_enabled():
        return _said(of_rows, weight.to(precision), bias.to(precision), None)
    if len(of_rows) > RECOMPUTE_ABOVE and not of_rows.rows.requires_grad:
        twice: Callable[..., Tensor] = _ComputedTwice.apply
        return twice(of_rows, precision, weight, bias, learnt, *of_rows.given, *learnt)
    project: Callable[..., Tensor] = _Projection.apply
    said = []
    for _, where in of_rows.chunks():
        # Where rows have a gradient, for an explanation, autograd takes care of which they are.
        taken = (of_rows.rows, where)
        if of_rows.rows.requires_grad:
            taken = (of_rows.rows[where], slice(None))
        projected = project(*taken, of_rows.mean, weight, bias, precision)
        said.append(of_rows.say(projected, *of_rows.given))
    return torch.cat(said)


def _said(of_rows: ChunkedMap, weight: Tensor, bias: Tensor, kept: Tensor | None) -> Tensor:
    """Map without a way back, into memory that is there before the first chunk."""
    said = weight.new_empty(0)
    for chunk, where in of_rows.chunks():
        centred = _centred(of_rows.rows, where, of_rows.mean, weight.dtype)
        projected = linear(centred, weight, bias).relu_()
        if kept is not None:
            kept[chunk] = projected
        of_chunk = of_rows.say(projected, *of_rows.given)
        if not chunk.start:
            said = of_chunk.new_empty(len(of_rows), of_chunk.shape[1])
        said[chunk] = of_chunk
    return said


class _Projection(torch.autograd.Function):
    """ReLU((x - mean) weight^T + bias) of some rows, whose gradient of a chunk is float32."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        where: slice | Tensor,
        mean: Tensor,
        weight: Tensor,
        bias: Tensor,
        precision: torch.dtype,
    ) -> Tensor:
        weight = weight.to(precision)
        centred = _centred(rows, where, mean, precision)
        projected = linear(centred, weight, bias.to(precision)).relu_()
        ctx.save_for_backward(centred, weight, projected)
        ctx.stored = rows.dtype
        return projected

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        centred, weight, projected = ctx.saved_tensors
        gradient = _before_relu(gradients[0], projected)
        of_rows = (gradient @ weight).to(ctx.stored) if ctx.needs_input_grad[0] else None
        of_weight = gradient.T @ centred
        of_bias = gradient.sum(dim=0, dtype=torch.float32)
        return of_rows, None, None, of_weight.float(), of_bias, None


class _ComputedTwice(torch.autograd.Function):
    """All chunks at once; on the way back each is computed again and left behind."""

    @staticmethod
    def forward(
        ctx: Any,
        of_rows: ChunkedMap,
        precision: torch.dtype,
        weight: Tensor,
        bias: Tensor,
        learnt: Sequence[Tensor],
        *_: Tensor,
    ) -> Tensor:
        weight, bias = weight.to(precision), bias.to(precision)
        ctx.random = _random_state(of_rows.rows.device)
        keeping = len(of_rows) * len(weight) * precision.itemsize <= KEPT_BYTES
        kept = weight.new_empty(len(of_rows), len(weight)) if keeping else None
        said = _said(of_rows, weight, bias, kept)
        ctx.save_for_backward(weight, bias, kept)
        ctx.of_rows, ctx.learnt = of_rows, learnt
        return said

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, bias, kept = ctx.saved_tensors
        of_rows: ChunkedMap = ctx.of_rows
        # Cut off from where it comes from, which may be a parameter too: autograd goes on there.
        given = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in of_rows.given]
        learners = (*given, *ctx.learnt)
        sources = [tensor for tensor in learners if tensor.requires_grad]
        totals: list[Tensor | None] = [None] * len(sources)
        of_weight = torch.zeros_like(weight, dtype=torch.float32)
        of_bias = torch.zeros_like(bias, dtype=torch.float32)
        with _as_it_was(ctx.random), _autocast(weight):
            for chunk, where in of_rows.chunks():
                centred = _centred(of_rows.rows, where, of_rows.mean, weight.dtype)
                projected = linear(centred, weight, bias).relu_() if kept is None else kept[chunk]
                leaf = projected.detach().requires_grad_()
                with torch.enable_grad():
                    said = of_rows.say(leaf, *given)
                found = torch.autograd.grad(
                    said, [leaf, *sources], gradients[0][chunk], allow_unused=True
                )
                totals = [_sum(total, one) for total, one in zip(totals, found[1:], strict=True)]
                gradient = _before_relu(found[0], projected)
                of_weight += gradient.T @ centred
                of_bias += gradient.sum(dim=0, dtype=torch.float32)
        total_of = dict(zip(map(id, sources), totals, strict=True))
        of_others = [total_of.get(id(tensor)) for tensor in learners]
        return None, None, of_weight, of_bias, None, *of_others


def _centred(rows: Tensor, where: slice | Tensor, mean: Tensor, precision: torch.dtype) -> Tensor:
    taken = rows.detach()[where]
    centred = torch.empty(taken.shape, dtype=precision, device=taken.device)
    # Computed in float32 and rounded once, of so few rows that the float32 stays in the cache.
    for some, into in zip(taken.split(_BLOCK), centred.split(_BLOCK), strict=True):
        torch.sub(some, mean, out=into)
    return centred


def _before_relu(gradient: Tensor, projected: Tensor) -> Tensor:
    """Take a gradient back through the ReLU that gave `projected`.

    `torch.where` takes eight times as long.
    """
    before: Tensor = torch.ops.aten.threshold_backward(gradient, projected, 0)
    return before


def _sum(total: Tensor | None, one: Tensor | None) -> Tensor | None:
    """Add up gradients in place; None is that of a tensor that had no part."""
    if total is None or one is None:
        return one if total is None else total
    return total.add_(one)


def _autocast(weight: Tensor) -> AbstractContextManager[Any]:
    if weight.dtype == torch.float32:
        return nullcontext()
    return torch.autocast(weight.device.type, dtype=weight.dtype)


@dataclass(frozen=True)
class _Random:
    """States of the generators that dropout draws from."""

    processor: Tensor
    device: torch.device
    accelerator: Tensor | None


def _random_state(device: torch.device) -> _Random:
    on_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return _Random(torch.get_rng_state(), device, on_gpu)


@contextmanager
def _as_it_was(random: _Random) -> Iterator[None]:
    """Draw once more what was drawn, and leave the generators as they are now."""
    with torch.random.fork_rng([] if random.accelerator is None else [random.device]):
        torch.set_rng_state(random.processor)
        if random.accelerator is not None:
            torch.cuda.set_rng_state(random.accelerator, random.device)
        yield
