import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cohorts.errors import EncoderError
from feature_extraction.encoders.weights import load_weights


class Small(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 2)])
        for tensor in self.parameters():
            tensor.data = torch.rand(tensor.shape, generator=random)


def load(file: Path) -> Small:
    network = Small(seed=9)
    load_weights(file, network, ["head"])
    return network


def message_of(file: Path) -> str:
    with pytest.raises(EncoderError) as refusal:
        load(file)
    assert len(str(refusal.value).splitlines()) == 1
    assert file.name in str(refusal.value)
    return str(refusal.value)


def prefixed(prefix: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda weights: {prefix + name: tensor for name, tensor in weights.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        prefixed("module."),
        prefixed("model.backbone."),
        prefixed("_orig_mod."),
        lambda weights: {"state_dict": prefixed("module.")(weights), "epoch": 3},
        lambda weights: {"model": weights, "optimizer": {"state": {}, "lr": 0.1}},
        lambda weights: {"teacher": prefixed("backbone.")(weights), "student": {}},
        lambda weights: {**weights, "head.weight": torch.ones(3), "head.bias": torch.ones(1)},
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_weights_are_found_within_what_training_scripts_save(
    wrap: Callable[[dict[str, Tensor]], object], suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"weights{suffix}"
    torch.save(wrap(Small(seed=1).state_dict()), file)
    for name, tensor in load(file).state_dict().items():
        torch.testing.assert_close(tensor, Small(seed=1).state_dict()[name])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    half = {name: tensor.to(dtype) for name, tensor in Small(seed=1).state_dict().items()}
    save_file(half, tmp_path / "half.safetensors")
    for name, tensor in load(tmp_path / "half.safetensors").state_dict().items():
        assert tensor.dtype == torch.float32
        np.testing.assert_array_equal(tensor, half[name].float())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    weights = Small().state_dict()
    weights["blocks.1.bias"][1] = value
    save_file(weights, tmp_path / "bad.safetensors")
    assert 'NaN or infinity in "blocks.1.bias"' in message_of(tmp_path / "bad.safetensors")


def test_a_file_that_runs_code_is_refused_and_not_run(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    file = tmp_path / "weights.pth"
    torch.save({"state_dict": Small().state_dict(), "trainer": Runs()}, file)
    message = message_of(file)
    assert "would run code" in message
    assert "safetensors.torch.save_file" in message
    assert not (tmp_path / "ran").exists()


def test_damaged_files_of_torch_are_named(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(Small().state_dict(), file)
    whole = file.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:-40], b"no weights at all"):
        file.write_bytes(content)
        assert "not a whole file of torch" in message_of(file)


@pytest.mark.parametrize("saved", [[1, 2], {"epoch": 3}, {}, {"state_dict": {"epoch": 3}}])
def test_a_file_without_tensors_is_named(saved: object, tmp_path: Path) -> None:
    torch.save(saved, tmp_path / "weights.pth")
    assert "no table of tensors" in message_of(tmp_path / "weights.pth")


def test_a_missing_tensor_or_one_too_many_is_named(tmp_path: Path) -> None:
    weights = Small().state_dict()
    bias = weights.pop("blocks.0.bias")
    torch.save(weights | {"blocks.7.bias": bias}, tmp_path / "weights.pth")
    message = message_of(tmp_path / "weights.pth")
    assert "1 missing (e.g. blocks.0.bias), 1 unexpected (e.g. blocks.7.bias)" in message
    assert "do not exist" in message_of(tmp_path / "absent.pth")
