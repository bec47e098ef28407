"""Presets without their weights: networks on torch's meta device hold shapes and no memory."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cohorts.errors import EncoderError
from feature_extraction import ExtractionSettings
from feature_extraction.encoders import known_encoders, load_encoder
from feature_extraction.encoders.architectures import Architecture, build_architecture
from feature_extraction.encoders.presets import PRESETS
from feature_extraction.encoders.token_output import ClassTokenAndMean

Choose = Callable[..., ExtractionSettings]

# Of the published files, as their model cards and loaders give them.
PUBLISHED = {
    "dinobloom-s": {"pos_embed": (1, 257, 384), "blocks.11.ls2.gamma": (384,)},
    "dinobloom-b": {"pos_embed": (1, 257, 768), "blocks.11.attn.qkv.weight": (2304, 768)},
    "dinobloom-l": {"pos_embed": (1, 257, 1024), "blocks.23.mlp.fc1.weight": (4096, 1024)},
    "uni2-h": {
        "pos_embed": (1, 256, 1536),
        "reg_token": (1, 8, 1536),
        "blocks.23.mlp.fc1.weight": (8192, 1536),
        "blocks.23.mlp.fc2.weight": (1536, 4096),
    },
    "virchow2": {
        "pos_embed": (1, 261, 1280),
        "reg_token": (1, 4, 1280),
        "blocks.31.mlp.fc1.weight": (6832, 1280),
        "blocks.31.mlp.fc2.weight": (1280, 3416),
    },
    "h-optimus-0": {"pos_embed": (1, 256, 1536), "blocks.39.mlp.fc2.weight": (1536, 4096)},
    "h-optimus-1": {"reg_token": (1, 4, 1536), "blocks.39.mlp.fc1.weight": (8192, 1536)},
    "ctranspath": {
        "patch_embed.proj.0.weight": (12, 3, 3, 3),
        "patch_embed.proj.1.running_var": (12,),
        "patch_embed.proj.3.weight": (24, 12, 3, 3),
        "patch_embed.proj.6.weight": (96, 24, 1, 1),
        "patch_embed.proj.6.bias": (96,),
        "patch_embed.norm.weight": (96,),
        "layers.3.blocks.1.attn.relative_position_bias_table": (169, 24),
    },
}


@pytest.fixture(scope="module")
def chosen(chosen: Choose) -> Choose:
    def choose(**named: object) -> ExtractionSettings:
        return chosen(**{"patch_px": 224, **named})

    return choose


def on_meta(name: str) -> Architecture:
    with torch.device("meta"):
        return build_architecture(name, pretrained=False)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_tensors_its_authors_publish_and_the_stated_width(name: str) -> None:
    architecture = on_meta(name)
    shapes = {k: tuple(v.shape) for k, v in architecture.backbone.state_dict().items()}
    assert {k: shapes.get(k) for k in PUBLISHED[name]} == PUBLISHED[name]
    assert not [k for k in shapes if k.startswith("head")]
    with torch.inference_mode():
        vectors = architecture.network.eval()(torch.empty(2, 3, 224, 224, device="meta"))
    assert vectors.shape == (2, PRESETS[name].dimension)


@pytest.mark.parametrize("name", ["dinobloom-s", "uni2-h", "h-optimus-0"])
def test_the_class_token_is_the_vector(name: str) -> None:
    backbone = on_meta(name).backbone
    assert vars(backbone)["global_pool"] == "token"
    tokens = torch.arange(24.0).reshape(2, 4, 3)
    pooled = backbone.pool(tokens)  # type: ignore[operator] - timm's
    np.testing.assert_array_equal(pooled, tokens[:, 0])


def test_class_token_and_mean_leave_out_the_registers() -> None:
    class Tokens(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            tokens = torch.tensor([[1.0, 2], [100, 100], [100, 100], [3, 5], [5, 7], [7, 0]])
            return tokens.expand(len(images), -1, -1)

    vectors = ClassTokenAndMean(Tokens(), prefix=3)(torch.zeros(2, 3, 8, 8))
    np.testing.assert_array_equal(vectors, [[1, 2, 5, 4]] * 2)


def test_the_listing_agrees_with_what_is_built(chosen: Choose) -> None:
    facts = {encoder.name: encoder for encoder in known_encoders()}
    assert set(facts) == {*PRESETS, "stain-filters"}
    assert load_encoder(chosen()).dimension == facts["stain-filters"].dimension
    assert facts["virchow2"].dimension == 2560
    assert facts["uni2-h"].gated
    assert facts["uni2-h"].source == "https://huggingface.co/MahmoodLab/UNI2-h"
    assert facts["dinobloom-b"].licence == "Apache-2.0"


def filled(shapes: dict[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    drawn = {k: torch.rand(v.shape, generator=random) * 0.1 for k, v in shapes.items()}
    return {k: v + 0.5 if k.endswith("var") else v for k, v in drawn.items()}


def dinov2_layout(weights: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """As DINOv2's training saves it: heads beside the backbone, a token for masked patches."""
    teacher = {f"backbone.{k}": v for k, v in weights.items()}
    teacher |= {"backbone.mask_token": torch.zeros(1, 384), "dino_head.mlp.0.weight": torch.ones(2)}
    return {"teacher": teacher | {"ibot_head.last_layer.weight": torch.ones(3)}}


def timm_054_layout(weights: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """As CTransPath's authors save it: patches merged at the end of a stage, and buffers."""
    old = {}
    for name, tensor in weights.items():
        parts = name.split(".")
        if "downsample" in parts:
            parts[1] = str(int(parts[1]) - 1)
        old[".".join(parts)] = tensor
    old["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    old["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
    return {"model": old | {"head.weight": torch.ones(2, 768), "head.bias": torch.ones(2)}}


@pytest.mark.parametrize(
    ("name", "publish"), [("dinobloom-s", dinov2_layout), ("ctranspath", timm_054_layout)]
)
def test_weights_in_the_published_layout_are_those_in_timms(
    name: str, publish: Callable[..., object], chosen: Choose, tmp_path: Path
) -> None:
    weights = filled(dict(on_meta(name).backbone.state_dict()))
    torch.save(publish(weights), tmp_path / "published.pth")
    torch.save(weights, tmp_path / "timm.pth")
    encoders = [
        load_encoder(chosen(encoder=name, weights=tmp_path / f"{layout}.pth"))
        for layout in ("published", "timm")
    ]
    assert encoders[0].digest == encoders[1].digest
    untrained = load_encoder(chosen(encoder=f"untrained:{name}"))
    assert untrained.digest != encoders[0].digest
    assert (encoders[0].dimension, encoders[0].input_px) == (PRESETS[name].dimension, 224)


def test_a_position_embedding_of_another_size_is_refused(chosen: Choose, tmp_path: Path) -> None:
    weights = filled(dict(on_meta("dinobloom-s").backbone.state_dict()))
    weights["pos_embed"] = torch.zeros(1, 1370, 384)
    torch.save(weights, tmp_path / "large.pth")
    with pytest.raises(EncoderError, match=r"another input size.*1x1370x384.*1x257x384"):
        load_encoder(chosen(encoder="dinobloom-s", weights=tmp_path / "large.pth"))


def test_nothing_is_built_where_the_weights_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest take a minute to build, and as many seconds to be asked for in vain."""

    def out_of_reach(*_: object) -> Path:
        raise EncoderError("out of reach")

    def built(*_: object, **__: object) -> nn.Module:
        raise AssertionError("built before its weights were looked for")

    monkeypatch.setattr("feature_extraction.encoders.architectures.published_weights", out_of_reach)
    monkeypatch.setattr("timm.create_model", built)
    with pytest.raises(EncoderError, match="out of reach"):
        build_architecture("dinobloom-s", pretrained=True)
