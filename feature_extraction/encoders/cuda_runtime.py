"""Run a network on a GPU."""

from collections.abc import Callable
from threading import Lock
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from feature_extraction.encoders.runtime import (
    Backend,
    OnPixels,
    Pixels,
    Precision,
    Vectors,
    no_room_for,
)

# Before a network is recorded, so that libraries have chosen their kernels and workspaces.
_WARM_UPS = 3


class CudaRuntime:
    """A network in channels-last order, compiled, recorded for one size of batch and replayed.

    Starting a batch is one call for the GPU, not one for each layer: threads that read images
    hold Python's lock in turns, and a network that waits for it at every layer leaves the GPU
    idle. A smaller batch is computed as a whole one, of which the rest is not looked at; so no
    number of patches needs a compilation of its own, and each gives the numbers it gives in any
    other batch.

    Parameters
    ----------
    network
        Is moved to `device` as it is, not copied.
    batch_size
        Patches that are computed at a time; larger batches are cut.
    side
        Of the patches, in px.

    Raises
    ------
    EncoderError
        If the GPU's memory does not hold the network with a batch.
    """

    backend: Backend = "torch"

    def __init__(
        self,
        network: OnPixels,
        precision: Precision,
        device: torch.device,
        *,
        batch_size: int,
        side: int,
    ) -> None:
        self.precision = precision
        self.device = device
        self.in_flight = 2
        self._turn = Lock()
        # torch's stubs know `to` with a device or a memory format, not with both
        placed = cast("Any", network.eval())
        try:
            self._network = placed.to(device, memory_format=torch.channels_last)
            self._patches = torch.zeros(
                (batch_size, side, side, 3), dtype=torch.uint8, device=device
            )
            self._compile()
            self._vectors, self._compute = self._recorded()
        except torch.OutOfMemoryError as error:
            raise no_room_for(batch_size) from error

    def start(self, patches: Pixels) -> Callable[[], Vectors]:
        """Queue a batch of (B, side, side, 3) patches; threads may call it at once."""
        size = len(self._patches)
        pinned = torch.from_numpy(patches).pin_memory()
        host = torch.empty((len(patches), self._vectors.shape[1]), pin_memory=True)
        copied = torch.cuda.Event()
        with self._turn, torch.inference_mode():
            for part, place in zip(pinned.split(size), host.split(size), strict=True):
                self._patches[: len(part)].copy_(part, non_blocking=True)
                self._compute()
                place.copy_(self._vectors[: len(part)], non_blocking=True)
            copied.record()

        def collect() -> Vectors:
            copied.synchronize()
            return np.asarray(host.numpy())

        return collect

    def _embed(self) -> Tensor:
        # Weights that are kept in bfloat16 between layers would not be of the recording.
        enabled = self.precision == "bfloat16"
        with (
            torch.inference_mode(),
            torch.autocast("cuda", torch.bfloat16, enabled=enabled, cache_enabled=False),
        ):
            return cast("Tensor", self._network(self._patches))

    def _compile(self) -> None:
        """Let kernels be generated, where this machine has the compiler for it."""
        eager = self._network
        self._network = cast("Any", torch.compile(eager, dynamic=False))
        try:
            self._embed()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # of which torch's own errors of compiling derive
            self._network = eager

    def _recorded(self) -> tuple[Tensor, Callable[[], object]]:
        """Give where the vectors are found, and what computes them anew."""
        aside = torch.cuda.Stream(self.device)
        aside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                vectors = self._embed()
        torch.cuda.current_stream(self.device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                recorded = self._embed()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # a network that asks the GPU something on its way
            torch.cuda.synchronize(self.device)
            return vectors, lambda: vectors.copy_(self._embed())
        return recorded, graph.replay
