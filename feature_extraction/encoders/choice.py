"""Choose what computes an encoder: the fastest that leaves embeddings as they are."""

from dataclasses import dataclass

import torch

from cohorts.errors import EncoderError
from feature_extraction.encoders import openvino_runtime
from feature_extraction.encoders.cuda_runtime import CudaRuntime
from feature_extraction.encoders.devices import best_device, native_precision
from feature_extraction.encoders.openvino_runtime import OpenVinoRuntime
from feature_extraction.encoders.probe import (
    cosine_to_expect,
    draw_probe,
    lowest_cosine,
    share_moved,
)
from feature_extraction.encoders.runtime import (
    Backend,
    OnPixels,
    Pixels,
    Precision,
    Runtime,
    Vectors,
)
from feature_extraction.encoders.torch_runtime import TorchRuntime
from feature_extraction.settings import ExtractionSettings

LEAST_COSINE = 0.98
# Of the spread of embeddings. Where they move by 0.09 of it, scores have moved by 0.05.
MOST_MOVED = 0.03
_PROBE_PATCHES = 32

Candidate = tuple[Backend, Precision]
_PLAIN: Candidate = ("torch", "float32")


@dataclass(frozen=True)
class Chosen:
    """A runtime, and how it was come by.

    Attributes
    ----------
    drift
        Lowest cosine of centred embeddings of drawn patches to those of torch in float32; None
        if it is torch in float32.
    passed_over
        What would have been preferred, and why it was not taken.
    """

    runtime: Runtime
    drift: float | None
    passed_over: tuple[str, ...]


def choose_runtime(network: OnPixels, settings: ExtractionSettings, input_px: int) -> Chosen:
    """Make a network ready in the first candidate whose embeddings pass.

    The order is fixed, not timed, so that a machine makes the same choice on every run: bfloat16,
    where the processor multiplies it, before float32, and OpenVINO, where it is installed, before
    torch. A candidate passes if, judged by drawn patches, no centred embedding has to expect a
    cosine below 0.98 to that of torch in float32, and embeddings move by at most 0.03 of their
    spread; the last one has to do, whatever it gives.

    Raises
    ------
    EncoderError
        If the settings ask for what this machine, or this network, cannot do.
    """
    device = _device(settings)
    candidates = _candidates(settings, device)
    probe = draw_probe(_PROBE_PATCHES, input_px)
    # Before the first candidate, which may rearrange the network.
    exact = None if candidates == [_PLAIN] else _exact(network, probe, device)
    passed_over: list[str] = []
    for candidate in candidates:
        last = candidate == candidates[-1]
        try:
            runtime = _make(network, candidate, device, settings, probe)
        except EncoderError as error:
            if last:
                raise
            passed_over.append(f"{' '.join(candidate)}: {error}")
            continue
        if exact is None or candidate == _PLAIN:
            return Chosen(runtime, None, tuple(passed_over))
        vectors = runtime.start(probe)()
        reason = _too_far(exact, vectors)
        if reason is None or last:
            return Chosen(runtime, lowest_cosine(exact, vectors), tuple(passed_over))
        passed_over.append(f"{' '.join(candidate)}: {reason}")
    raise AssertionError("the last candidate is taken or raises")


def _too_far(exact: Vectors, vectors: Vectors) -> str | None:
    """Say why vectors do not stand for the exact ones; None if they do."""
    expected = cosine_to_expect(exact, vectors)
    if expected < LEAST_COSINE:
        return f"cosine may fall to {expected:.3f}, below {LEAST_COSINE}"
    moved = share_moved(exact, vectors)
    if moved > MOST_MOVED:
        return f"embeddings move by {moved:.3f} of their spread, more than {MOST_MOVED}"
    return None


def _device(settings: ExtractionSettings) -> torch.device:
    on_cpu = settings.backend == "openvino" or settings.precision == "int8"
    return torch.device("cpu") if on_cpu else best_device()


def _candidates(settings: ExtractionSettings, device: torch.device) -> list[Candidate]:
    """List backends and precisions that the settings allow here, the best first."""
    native = native_precision(device) == "bfloat16"
    precisions: list[Precision] = ["bfloat16", "float32"] if native else ["float32"]
    if settings.precision != "auto":
        precisions = [settings.precision]
    backends: list[Backend] = ["openvino", "torch"]
    if settings.backend != "auto":
        backends = [settings.backend]
    elif device.type != "cpu" or not openvino_runtime.is_installed():
        backends = ["torch"]
    if settings.precision == "int8":
        if settings.backend == "torch":
            raise EncoderError('precision = "int8" needs OpenVINO; drop backend = "torch"')
        backends = ["openvino"]
    if settings.precision == "bfloat16" and not native and device.type == "cpu":
        if settings.backend == "openvino":
            raise EncoderError(
                'this processor does not multiply bfloat16, which backend = "openvino" needs for '
                'it; choose precision = "float32"'
            )
        backends = ["torch"]  # it computes in float32 and rounds: slow, but the same numbers
    return [(backend, precision) for precision in precisions for backend in backends]


def _make(
    network: OnPixels,
    candidate: Candidate,
    device: torch.device,
    settings: ExtractionSettings,
    probe: Pixels,
) -> Runtime:
    backend, precision = candidate
    if backend == "openvino":
        return OpenVinoRuntime(network, precision, probe[:2])
    return torch_on(device, network, precision, settings, probe[:2])


def torch_on(
    device: torch.device,
    network: OnPixels,
    precision: Precision,
    settings: ExtractionSettings,
    example: Pixels,
) -> Runtime:
    """Make a network ready in torch; `example` is (B, H, W, 3) patches as it will be given.

    Raises
    ------
    EncoderError
        If it does not fit into the GPU's memory.
    """
    if device.type == "cuda":
        size, side = settings.batch_size, example.shape[1]
        return CudaRuntime(network, precision, device, batch_size=size, side=side)
    return TorchRuntime(network, precision, example)


def _exact(network: OnPixels, probe: Pixels, device: torch.device) -> Vectors:
    with torch.inference_mode():
        patches = torch.from_numpy(probe).to(device).split(4)
        on_device = network.eval().to(device)
        vectors: Vectors = torch.cat([on_device(part) for part in patches]).cpu().numpy()
    return vectors
