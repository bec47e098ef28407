import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cohorts.errors import EncoderError
from feature_extraction.encoders.openvino_runtime import OpenVinoRuntime
from feature_extraction.encoders.probe import draw_probe, lowest_cosine
from feature_extraction.encoders.runtime import OnPixels
from feature_extraction.encoders.torch_runtime import TorchRuntime

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None or importlib.util.find_spec("nncf") is None,
    reason="openvino and nncf are not installed",
)
PATCHES = draw_probe(21, 32)


def network() -> OnPixels:
    random = torch.Generator().manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    for tensor in layers.parameters():
        tensor.data = torch.rand(tensor.shape, generator=random) - 0.5
    return OnPixels(layers, (0.7, 0.6, 0.5), (0.1, 0.2, 0.3)).eval()


@pytest.fixture(scope="module")
def exact() -> np.ndarray:
    with torch.inference_mode():
        vectors: np.ndarray = network()(torch.from_numpy(PATCHES)).numpy()
    return vectors


@pytest.fixture(scope="module")
def runtime() -> OpenVinoRuntime:
    return OpenVinoRuntime(network(), "float32", PATCHES[:2])


def test_vectors_are_those_of_torch(runtime: OpenVinoRuntime, exact: np.ndarray) -> None:
    vectors = runtime.start(PATCHES)()
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, exact, rtol=1e-3, atol=1e-4)


def test_nothing_is_reported_to_intel(runtime: OpenVinoRuntime) -> None:
    from openvino.tools.ovc import convert_impl

    assert runtime.backend == "openvino"
    assert sys.modules["openvino_telemetry"] is None
    assert convert_impl.tm.__name__ == "openvino.tools.ovc.telemetry_stub"


def test_a_network_that_torch_was_tried_with_first_gives_the_same(exact: np.ndarray) -> None:
    tried = network()
    TorchRuntime(tried, "float32", PATCHES[:2])
    vectors = OpenVinoRuntime(tried, "float32", PATCHES[:2]).start(PATCHES)()
    np.testing.assert_allclose(vectors, exact, rtol=1e-3, atol=1e-4)


def test_many_batches_under_way_keep_their_vectors(
    runtime: OpenVinoRuntime, exact: np.ndarray
) -> None:
    """More chunks than requests, batches of all sizes, collected in any order."""
    alone = [runtime.start(PATCHES[:size])() for size in (1, 2, 7, 21)]
    started = [runtime.start(PATCHES[:size]) for size in (1, 2, 7, 21)]
    for number in (2, 0, 3, 1):
        np.testing.assert_array_equal(started[number](), alone[number])
    np.testing.assert_allclose(alone[2], exact[:7], rtol=1e-3, atol=1e-4)


def test_int8_is_the_same_on_every_run_and_near_float32(exact: np.ndarray) -> None:
    first, again = (OpenVinoRuntime(network(), "int8", PATCHES[:2]) for _ in range(2))
    vectors = first.start(PATCHES)()
    np.testing.assert_array_equal(again.start(PATCHES)(), vectors)
    assert 0.9 < lowest_cosine(exact, vectors) < 1 - 1e-7


def test_quantisation_leaves_the_output_to_results() -> None:
    """In a process of its own, which loads NNCF for the first time and then again."""
    program = """
from torch import nn

from feature_extraction.encoders.openvino_runtime import OpenVinoRuntime
from feature_extraction.encoders.probe import draw_probe
from feature_extraction.encoders.runtime import OnPixels

for _ in range(2):
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    OpenVinoRuntime(OnPixels(layers, (0, 0, 0), (1, 1, 1)), "int8", draw_probe(2, 32))
print("{}")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "{}\n"
    assert "Statistics collection" in done.stderr


def test_a_network_that_cannot_be_converted_is_an_error_of_one_line() -> None:
    class Unknown(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.linalg.eigvals(images[:, 0]).abs()

    with pytest.raises(EncoderError, match="OpenVINO cannot run this network") as refusal:
        OpenVinoRuntime(OnPixels(Unknown(), (0, 0, 0), (1, 1, 1)), "float32", PATCHES[:2])
    assert len(str(refusal.value).splitlines()) == 1
    assert 'backend = "torch"' in str(refusal.value)
