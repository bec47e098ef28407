import numpy as np
import pytest
import torch
from torch import Tensor, nn

from feature_extraction.encoders.devices import native_precision
from feature_extraction.encoders.probe import draw_probe
from feature_extraction.encoders.runtime import OnPixels, Precision
from feature_extraction.encoders.torch_runtime import TorchRuntime

CPU = torch.device("cpu")
MEAN, STD = (0.7, 0.6, 0.5), (0.1, 0.2, 0.3)
PATCHES = draw_probe(21, 32)


class Convolutional(nn.Module):
    """Batch normalisation with statistics of its own, and a way through that sizes decide."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.normalisation = nn.BatchNorm2d(8)
        for name, tensor in self.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.rand(tensor.shape, generator=random)
                tensor.copy_(drawn + 0.5 if name.endswith("var") else drawn - 0.5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.normalisation(self.convolution(images)).relu()
        return maps.mean(dim=(2, 3)) if maps.shape[2] > 4 else maps.flatten(1)


class BySize(Convolutional):
    """Cannot be traced: one patch goes another way than several."""

    def forward(self, images: Tensor) -> Tensor:
        vectors = super().forward(images)
        return vectors if len(images) == 1 else 2 * vectors


def made(network: nn.Module, precision: Precision = "float32") -> TorchRuntime:
    return TorchRuntime(OnPixels(network, MEAN, STD), precision, PATCHES[:2])


def expected(network: nn.Module) -> np.ndarray:
    images = torch.from_numpy(PATCHES).permute(0, 3, 1, 2) / 255
    normalised = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.inference_mode():
        vectors: np.ndarray = network.eval()(normalised).numpy()
    return vectors


@pytest.mark.parametrize("network", [Convolutional, BySize])
def test_vectors_are_those_of_the_network(network: type[nn.Module]) -> None:
    vectors = made(network()).start(PATCHES)()
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected(network()), rtol=1e-4, atol=1e-5)
    assert np.ptp(vectors, axis=0).max() > 0.1


def test_a_convolutional_network_is_frozen_and_one_that_cannot_be_is_not() -> None:
    assert isinstance(made(Convolutional())._network, torch.jit.RecursiveScriptModule)
    assert isinstance(made(BySize())._network, OnPixels)


def test_a_vector_does_not_depend_on_its_batch() -> None:
    runtime = made(Convolutional())
    together = runtime.start(PATCHES)()
    for size in (1, 3, 8, 11):
        np.testing.assert_allclose(runtime.start(PATCHES[:size])(), together[:size], rtol=1e-4)
    for _ in range(3):
        np.testing.assert_array_equal(runtime.start(PATCHES)(), together)


def test_bfloat16_is_near_float32_and_is_not_it() -> None:
    exact, near = (made(Convolutional(), p).start(PATCHES)() for p in ("float32", "bfloat16"))
    assert 0 < np.linalg.norm(near - exact) < 0.02 * np.linalg.norm(exact)


def test_bfloat16_is_native_where_the_processor_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for capable, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda told=capable: told)
        assert native_precision(CPU) == precision
