"""Run a network in OpenVINO on the CPU; the package is optional and imported late."""

import importlib.util
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from cohorts.errors import EncoderError
from feature_extraction.encoders.probe import draw_probe
from feature_extraction.encoders.runtime import Backend, OnPixels, Pixels, Precision, Vectors
from feature_extraction.encoders.tracing import tracing_quietly

# Convolutions of a few images leave their results in the cache for the next layer.
_CHUNK = 4
# Requests for each that OpenVINO runs at a time: threads that read delay one or the other, and what
# waits in its queue keeps it busy meanwhile.
_SLOTS = 2
_CALIBRATION_PATCHES = 64
_CALIBRATION_SEED = 1  # other patches than those the drift is measured on


class _Slot:
    """One of OpenVINO's requests, and the place its vectors go to when it is done."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.place: Vectors | None = None

    def start(self, patches: Pixels, place: Vectors) -> None:
        self.collect()
        self.place = place
        self.request.start_async([patches])

    def collect(self) -> None:
        if self.place is not None:
            self.request.wait()
            self.place[:] = self.request.get_output_tensor().data
            self.place = None


class OpenVinoRuntime:
    """A network converted to OpenVINO, which runs as many requests at once as it finds best.

    Parameters
    ----------
    example
        A few patches, (B, H, W, 3), of the size that all will have.

    Raises
    ------
    EncoderError
        If OpenVINO, or NNCF for int8, is not installed, or the network cannot be converted.
    """

    backend: Backend = "openvino"
    in_flight = 2

    def __init__(self, network: OnPixels, precision: Precision, example: Pixels) -> None:
        if not is_installed():
            raise EncoderError(
                'OpenVINO is not installed; install it with pip install "cmil[openvino]", or '
                'choose backend = "torch"'
            )
        _keep_telemetry_out()
        import openvino
        from openvino import frontend

        self.precision = precision
        self.device = torch.device("cpu")
        try:
            model = _convert(network, example)
            if precision == "int8":
                model = _quantize(model, network, example.shape[1])
            compiled = openvino.Core().compile_model(model, "CPU", _options(precision))
            at_once = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            self._slots = [_Slot(compiled.create_infer_request()) for _ in range(_SLOTS * at_once)]
            first = self._slots[0].request.infer([example[:1]])
        except (
            RuntimeError,
            frontend.GeneralFailure,
            frontend.NotImplementedFailure,
            frontend.OpConversionFailure,
            frontend.OpValidationFailure,
        ) as error:
            reason = " ".join(str(error).split())[:300]
            raise EncoderError(
                f'OpenVINO cannot run this network ({reason}); choose backend = "torch"'
            ) from error
        self._dimension = int(first[0].shape[1])
        self._next = 0

    def start(self, patches: Pixels) -> Callable[[], Vectors]:
        """Hand a batch to the requests in chunks, in turn; one that is busy is waited for."""
        vectors = np.empty((len(patches), self._dimension), dtype=np.float32)
        used = []
        for start in range(0, len(patches), _CHUNK):
            slot = self._slots[self._next]
            self._next = (self._next + 1) % len(self._slots)
            part = slice(start, start + _CHUNK)
            slot.start(patches[part], vectors[part])
            used.append(slot)

        def collect() -> Vectors:
            for slot in used:
                # It may be busy with a later batch by now; this one's was then put in its place.
                if slot.place is not None and slot.place.base is vectors:
                    slot.collect()
            return vectors

        return collect


def is_installed() -> bool:
    """Tell whether OpenVINO is there, without importing it."""
    return importlib.util.find_spec("openvino") is not None


def _keep_telemetry_out() -> None:
    """Have the import of what reports conversions to Intel fail, before OpenVINO tries it.

    OpenVINO and NNCF do without it then; a hospital's machine tells nobody what it computes.
    """
    sys.modules.setdefault("openvino_telemetry", cast("ModuleType", None))


def _options(precision: Precision) -> dict[str, Any]:
    return {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        # What int8 leaves in floating point stays float32: its drift is then that of int8 alone.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
    }


def _convert(network: OnPixels, example: Pixels) -> Any:
    import openvino

    with tracing_quietly(), torch.no_grad():
        model = openvino.convert_model(network.eval(), example_input=torch.from_numpy(example))
    model.reshape([-1, *example.shape[1:]])
    return model


def _quantize(model: Any, network: nn.Module, side: int) -> Any:
    """Quantise weights and activations to 8 bits, by their range over drawn patches.

    Patches of the study would fit better, but an encoder calibrated on one slide, or one cohort,
    is another encoder for the next: their bags could not be compared.
    """
    if importlib.util.find_spec("nncf") is None:
        raise EncoderError(
            'precision = "int8" needs NNCF; install it with pip install "cmil[openvino]"'
        )
    # NNCF writes its account and bars of progress to where results belong.
    with tracing_quietly(), redirect_stdout(sys.stderr):
        import nncf

        patches = draw_probe(_CALIBRATION_PATCHES, side, _CALIBRATION_SEED)
        attention = any(isinstance(module, nn.LayerNorm) for module in network.modules())
        return nncf.quantize(
            model,
            nncf.Dataset([patch[None] for patch in patches]),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER if attention else None,
            subset_size=_CALIBRATION_PATCHES,
        )
