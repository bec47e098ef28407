import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cohorts.errors import EncoderError
from feature_extraction import ExtractionSettings
from feature_extraction.encoders import load_encoder
from feature_extraction.encoders.choice import Chosen, choose_runtime
from feature_extraction.encoders.runtime import OnPixels

Choose = Callable[..., ExtractionSettings]
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None or importlib.util.find_spec("nncf") is None,
    reason="openvino and nncf are not installed",
)
SMALL = "untrained:timm:test_resnet"


class Colours(nn.Module):
    """Mean colours; beside an offset, bfloat16 cannot tell them apart."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.linear.weight.data = torch.eye(3)
        self.linear.bias.data = torch.full((3,), float(offset))

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(images.mean(dim=(2, 3)))


class Unconvertible(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.linalg.eigvals(images[:, 0]).abs()


@pytest.fixture(scope="module")
def chosen(chosen: Choose) -> Choose:
    def choose(**named: object) -> ExtractionSettings:
        return chosen(**{"backend": "auto", **named})

    return choose


@pytest.fixture
def has_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)


@pytest.fixture
def lacks_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)


class _NotInstalled:
    """One of Python's finders, on a machine without the extra."""

    def __init__(self, finder: Any) -> None:
        self.finder = finder

    def find_spec(self, name: str, *more: Any) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] in {"openvino", "nncf"}:
            return None
        spec: importlib.machinery.ModuleSpec | None = self.finder.find_spec(name, *more)
        return spec

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


def chosen_for(network: nn.Module, settings: ExtractionSettings) -> Chosen:
    return choose_runtime(OnPixels(network, (0, 0, 0), (1, 1, 1)), settings, 32)


@pytest.mark.usefixtures("has_bfloat16")
def test_auto_takes_bfloat16_where_embeddings_stay(chosen: Choose) -> None:
    choice = chosen_for(Colours(0), chosen(precision="auto", backend="torch"))
    assert (choice.runtime.backend, choice.runtime.precision) == ("torch", "bfloat16")
    assert choice.drift is not None
    assert 0.98 <= choice.drift < 1
    assert choice.passed_over == ()


@pytest.mark.usefixtures("has_bfloat16")
@pytest.mark.parametrize(
    ("offset", "reason"), [(1, "embeddings move by 0.033 of"), (300, "cosine may fall to 0.000")]
)
def test_auto_passes_bfloat16_over_where_embeddings_move(
    chosen: Choose, offset: float, reason: str
) -> None:
    choice = chosen_for(Colours(offset), chosen(precision="auto", backend="torch"))
    assert (choice.runtime.backend, choice.runtime.precision) == ("torch", "float32")
    assert choice.drift is None
    assert choice.passed_over[0].startswith(f"torch bfloat16: {reason}")


def test_a_precision_that_is_asked_for_is_given_with_its_drift(chosen: Choose) -> None:
    choice = chosen_for(Colours(300), chosen(precision="bfloat16", backend="torch"))
    assert choice.runtime.precision == "bfloat16"
    assert choice.drift is not None
    assert choice.drift < 0.98


@pytest.mark.usefixtures("lacks_bfloat16")
def test_without_openvino_auto_is_torch_and_asking_for_it_says_how_to_install(
    chosen: Choose, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [m for m in sys.modules if m.partition(".")[0] in {"openvino", "nncf"}]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [_NotInstalled(finder) for finder in sys.meta_path])
    encoder = load_encoder(chosen(encoder=SMALL, precision="auto"))
    assert (encoder.backend, encoder.precision, encoder.drift) == ("torch", "float32", None)
    assert encoder.passed_over == ()
    for asked in ({"backend": "openvino"}, {"precision": "int8"}):
        with pytest.raises(EncoderError, match=r'pip install "cmil\[openvino\]"'):
            load_encoder(chosen(encoder=SMALL, **asked))


@needs_openvino
@pytest.mark.usefixtures("lacks_bfloat16")
def test_auto_takes_openvino_where_it_is_installed(chosen: Choose) -> None:
    encoder = load_encoder(chosen(encoder=SMALL, precision="auto"))
    plain = load_encoder(chosen(encoder=SMALL, backend="torch"))
    assert (encoder.backend, encoder.precision) == ("openvino", "float32")
    assert encoder.drift is not None
    assert encoder.drift > 0.9999
    assert encoder.digest == plain.digest
    patches = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    batches = [patches[:2], patches[2:], patches[:1]]
    for ours, theirs in zip(encoder.stream(batches), plain.stream(batches), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@needs_openvino
@pytest.mark.usefixtures("lacks_bfloat16")
def test_auto_does_without_openvino_where_it_cannot_convert(chosen: Choose) -> None:
    choice = chosen_for(Unconvertible(), chosen(precision="auto"))
    assert choice.runtime.backend == "torch"
    (reason,) = choice.passed_over
    assert reason.startswith("openvino float32: OpenVINO cannot run this network")
    with pytest.raises(EncoderError, match="OpenVINO cannot run this network"):
        chosen_for(Unconvertible(), chosen(backend="openvino"))


@needs_openvino
def test_int8_is_another_encoder_and_tells_its_drift(chosen: Choose) -> None:
    plain = load_encoder(chosen(encoder=SMALL, backend="torch"))
    encoder = load_encoder(chosen(encoder=SMALL, precision="int8"))
    assert (encoder.backend, encoder.precision) == ("openvino", "int8")
    assert encoder.digest != plain.digest
    assert encoder.digest == load_encoder(chosen(encoder=SMALL, precision="int8")).digest
    assert encoder.drift is not None
    assert encoder.drift < 0.99999


@pytest.mark.usefixtures("lacks_bfloat16")
@pytest.mark.parametrize(
    ("asked", "mend"),
    [
        ({"backend": "torch", "precision": "int8"}, 'drop backend = "torch"'),
        ({"backend": "openvino", "precision": "bfloat16"}, 'precision = "float32"'),
    ],
)
def test_what_contradicts_is_an_error(chosen: Choose, asked: dict[str, str], mend: str) -> None:
    with pytest.raises(EncoderError, match=mend):
        load_encoder(chosen(encoder=SMALL, **asked))
