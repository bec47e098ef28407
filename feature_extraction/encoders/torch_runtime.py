"""Run a network in torch on the processor."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from feature_extraction.encoders.runtime import Backend, OnPixels, Pixels, Precision, Vectors
from feature_extraction.encoders.tracing import tracing_quietly

# Convolutions of a few images leave their results in the cache for the next layer.
_CPU_CHUNK = 8
# Cores that work at images of their own need not wait for each other at every layer. Two batches
# under way are at least eight chunks; larger machines give each stream several cores.
_MOST_STREAMS = 8


class TorchRuntime:
    """A network in channels-last order, frozen where its layers can be folded into each other.

    Parameters
    ----------
    network
        Is taken as it is, not copied.
    example
        A few patches, (B, H, W, 3), to see that the network made ready still gives its vectors.
    """

    backend: Backend = "torch"

    def __init__(self, network: OnPixels, precision: Precision, example: Pixels) -> None:
        self.precision = precision
        self.device = torch.device("cpu")
        self.in_flight = 2
        # torch's stubs know `to` with a device or a memory format, not with both
        placed = cast("Any", network.eval())
        self._network = placed.to(self.device, memory_format=torch.channels_last)
        if _is_convolutional(network):
            self._freeze(example)
        self._streams = _cpu_streams()

    def start(self, patches: Pixels) -> Callable[[], Vectors]:
        """Start to embed a batch, chunk by chunk in streams."""
        chunks = torch.from_numpy(patches).split(_CPU_CHUNK)
        started = [self._streams.submit(self._embed, chunk) for chunk in chunks]
        return lambda: np.asarray(torch.cat([chunk.result() for chunk in started]).numpy())

    def _embed(self, patches: Tensor) -> Tensor:
        with torch.inference_mode(), self._autocast():
            return cast("Tensor", self._network(patches))

    def _autocast(self, *, cached: bool = True) -> torch.autocast:
        enabled = self.precision == "bfloat16"
        return torch.autocast("cpu", torch.bfloat16, enabled=enabled, cache_enabled=cached)

    def _freeze(self, example: Pixels) -> None:
        """Fold batch normalisation into convolutions, where the network can be traced.

        A trace remembers one way through the network: it is kept only if it gives, for another
        number of patches, what the network gives.
        """
        patches = torch.from_numpy(example)
        with tracing_quietly(), torch.no_grad(), self._autocast(cached=False):
            try:
                traced = torch.jit.trace(self._network, patches[:1], check_trace=False)
                frozen = torch.jit.freeze(traced)
                expected = self._network(patches)
                moved = torch.dist(frozen(patches), expected) / expected.norm()
            except RuntimeError:  # a way through the network that cannot be traced
                return
        if moved <= (1e-3 if self.precision == "float32" else 5e-2):
            self._network = frozen


def _cpu_streams() -> ThreadPoolExecutor:
    """Give threads that share the cores torch may use, each with some of its own."""
    cores = torch.get_num_threads()
    streams = min(cores, _MOST_STREAMS)
    pool = ThreadPoolExecutor(streams, thread_name_prefix="encoder")
    all_there = Barrier(streams + 1)

    def take_cores() -> None:
        torch.set_num_threads(cores // streams)  # of this thread, and of threads yet to come
        all_there.wait()

    for _ in range(streams):
        pool.submit(take_cores)
    all_there.wait()
    torch.set_num_threads(cores)  # so that threads yet to come get as many as before
    return pool


def _is_convolutional(network: nn.Module) -> bool:
    """Tell whether there is enough batch normalisation to fold: not in a transformer's stem."""
    kinds = [type(module) for module in network.modules()]
    folds = any(issubclass(kind, nn.BatchNorm2d) for kind in kinds)
    return folds and not any(issubclass(kind, nn.LayerNorm) for kind in kinds)
