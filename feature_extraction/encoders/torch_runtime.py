"""Run a network in torch, on the CPU or a GPU."""

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
    """A network in channels-last order, frozen on the CPU and compiled on a GPU.

    Parameters
    ----------
    network
        Is moved to `device` as it is, not copied.
    example
        A few patches, (B, H, W, 3), to see that the network made ready still gives its vectors.
    """

    backend: Backend = "torch"

    def __init__(
        self, network: OnPixels, precision: Precision, device: torch.device, example: Pixels
    ) -> None:
        self.precision = precision
        self.device = device
        self.in_flight = 2
        # torch's stubs know `to` with a device or a memory format, not with both
        placed = cast("Any", network.eval())
        self._network = placed.to(device, memory_format=torch.channels_last)
        if device.type == "cuda":
            self._compile(example)
        else:
            if _is_convolutional(network):
                self._freeze(example)
            self._streams = _cpu_streams()

    def start(self, patches: Pixels) -> Callable[[], Vectors]:
        """Start to embed a batch, not awaiting it: on the CPU in streams, on a GPU as queued."""
        if self.device.type != "cuda":
            chunks = torch.from_numpy(patches).split(_CPU_CHUNK)
            started = [self._streams.submit(self._embed, chunk) for chunk in chunks]
            return lambda: np.asarray(torch.cat([chunk.result() for chunk in started]).numpy())
        pinned = torch.from_numpy(patches).pin_memory()
        on_gpu = self._embed(pinned.to(self.device, non_blocking=True))
        host = torch.empty(on_gpu.shape, dtype=torch.float32, pin_memory=True)
        host.copy_(on_gpu, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()

        def collect() -> Vectors:
            copied.synchronize()
            return np.asarray(host.numpy())

        return collect

    def _embed(self, patches: Tensor) -> Tensor:
        with torch.inference_mode(), self._autocast():
            return cast("Tensor", self._network(patches))

    def _autocast(self, *, cached: bool = True) -> torch.autocast:
        enabled = self.precision == "bfloat16"
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=enabled, cache_enabled=cached
        )

    def _compile(self, example: Pixels) -> None:
        """Let kernels be generated, where this machine has the compiler for it."""
        eager = self._network
        self._network = cast("Any", torch.compile(eager))
        try:
            self.start(example)()
        except RuntimeError:  # of which torch's own errors of compiling derive
            self._network = eager
            self.start(example)()

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


def native_precision(device: torch.device) -> Precision:
    """Give bfloat16 where the processor multiplies it in hardware, else float32."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    capable = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return "bfloat16" if capable else "float32"


def best_device() -> torch.device:
    """Give the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def describe_device(device: torch.device) -> str:
    """Name the device for the run record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"
