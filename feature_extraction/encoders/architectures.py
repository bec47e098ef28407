"""Build the network behind an encoder's name, without its classifier."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from cohorts.errors import EncoderError
from feature_extraction.encoders.conv_stem import ConvStem
from feature_extraction.encoders.downloads import (
    ELSEWHERE,
    explained_download,
    prefer_the_cache_when_offline,
    published_weights,
)
from feature_extraction.encoders.presets import IMAGENET_MEAN, IMAGENET_STD, PRESETS, Preset
from feature_extraction.encoders.stain_filters import StainFilters
from feature_extraction.encoders.token_output import ClassTokenAndMean
from feature_extraction.encoders.torchvision_operators import declare_torchvision_operators
from feature_extraction.encoders.weights import load_weights
from feature_extraction.settings import Channels

StateDict = Mapping[str, Tensor]


@dataclass(frozen=True)
class Architecture:
    """A network without its classifier, and the facts of its published weights.

    Attributes
    ----------
    network
        Maps (B, 3, H, W) to (B, D).
    backbone
        The part of it that weights are loaded into.
    heads
        Prefixes of the classifiers' names in a file of weights; those may be there or not.
    renamed
        Turns weights in the layout their authors publish into that of `backbone`.
    input_px
        The only input size it takes, or None where any size will do.
    """

    network: nn.Module
    backbone: nn.Module
    heads: tuple[str, ...]
    mean: Channels
    std: Channels
    input_px: int | None
    output: str = "pooled"
    renamed: Callable[[StateDict], StateDict] = dict


def build_architecture(name: str, *, pretrained: bool) -> Architecture:
    """Build a network by name, `untrained:` removed.

    Raises
    ------
    EncoderError
        If the name is not known, or its published weights cannot be had.
    """
    if name == "stain-filters":
        filters = StainFilters()
        return Architecture(filters, filters, (), (0, 0, 0), (1, 1, 1), None)
    if name in PRESETS:
        return _build_preset(PRESETS[name], pretrained=pretrained)
    library, _, model = name.partition(":")
    builders = {"timm": _build_timm, "torchvision": _build_torchvision, "hf-hub": _build_from_hub}
    if library not in builders or not model:
        raise EncoderError(
            f'encoder "{name}" is not known; write timm:NAME or torchvision:NAME, e.g. '
            "timm:resnet50, hf-hub:OWNER/NAME, untrained:timm:NAME for random weights, or one of "
            + ", ".join(["stain-filters", *PRESETS])
        )
    return builders[library](model, pretrained=pretrained)


def _build_preset(preset: Preset, *, pretrained: bool) -> Architecture:
    # First of all: without a network, a large one would be built for nothing, and the hub's client,
    # which timm imports, would try again and again.
    weights = published_weights(preset) if pretrained else None
    declare_torchvision_operators()
    import timm
    from timm.layers.mlp import SwiGLUPacked

    keywords = dict(preset.keywords)
    if keywords.pop("swiglu", False):
        keywords |= {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU}
    if keywords.pop("conv_stem", False):
        keywords["embed_layer"] = ConvStem
    if preset.output != "pooled":
        keywords["global_pool"] = "token" if preset.output == "class token" else ""
    backbone = timm.create_model(
        preset.architecture, num_classes=0, img_size=preset.input_px, **keywords
    )
    network = backbone
    if preset.output == "class token and mean":
        network = ClassTokenAndMean(backbone, int(vars(backbone)["num_prefix_tokens"]))
    architecture = Architecture(
        network,
        backbone,
        ("head", "dino_head", "ibot_head"),
        preset.mean,
        preset.std,
        preset.input_px,
        preset.output,
        _timm_names_of_swin if "conv_stem" in preset.keywords else _timm_names_of_dinov2,
    )
    if weights is not None:
        load_weights(weights, backbone, architecture.heads, architecture.renamed)
    return architecture


def _timm_names_of_dinov2(weights: StateDict) -> StateDict:
    """DINOv2 has a token for masked patches, which only training uses, and calls registers so."""
    named = {k.replace("register_tokens", "reg_token"): v for k, v in weights.items()}
    named.pop("mask_token", None)
    return named


def _timm_names_of_swin(weights: StateDict) -> StateDict:
    """Timm before 0.9 merged patches at the end of a stage, timm since at the start of the next.

    The index of relative positions and the mask of shifted windows follow from the input size.
    """
    old = "layers.0.downsample.reduction.weight" in weights
    named = {}
    for name, tensor in weights.items():
        if name.endswith(("relative_position_index", "attn_mask")):
            continue
        parts = name.split(".")
        if old and parts[0] == "layers" and parts[2] == "downsample":
            parts[1] = str(int(parts[1]) + 1)
        named[".".join(parts)] = tensor
    return named


def _build_timm(name: str, *, pretrained: bool) -> Architecture:
    declare_torchvision_operators()
    if pretrained:
        prefer_the_cache_when_offline()
    import timm

    base = name.partition(".")[0]
    if not timm.is_model(base):
        close = ", ".join(timm.list_models(f"{base[:6]}*")[:4]) or "see timm.list_models()"
        raise EncoderError(f'timm has no model "{name}"; close names: {close}')
    with explained_download(f"timm:{name}"):
        network = timm.create_model(name, pretrained=pretrained, num_classes=0)
    return _as_timm_tells(network)


def _build_from_hub(name: str, *, pretrained: bool) -> Architecture:
    declare_torchvision_operators()
    prefer_the_cache_when_offline()  # even without weights, the network is described there
    import timm

    if name.count("/") != 1:
        raise EncoderError(f'encoder "hf-hub:{name}" has to be written hf-hub:OWNER/NAME')
    page = f"https://huggingface.co/{name}"
    # The hub also says which network it is, which a local file of weights does not.
    mend = f"{ELSEWHERE}, with timm:ARCHITECTURE as the encoder"
    with explained_download(f"hf-hub:{name}", page, mend):
        network = timm.create_model(f"hf-hub:{name}", pretrained=pretrained, num_classes=0)
    return _as_timm_tells(network)


def _as_timm_tells(network: nn.Module) -> Architecture:
    facts: dict[str, Any] = dict(vars(network)["pretrained_cfg"])
    heads = facts.get("classifier") or "head"
    return Architecture(
        network,
        network,
        (heads,) if isinstance(heads, str) else tuple(heads),
        _channels(facts.get("mean", IMAGENET_MEAN)),
        _channels(facts.get("std", IMAGENET_STD)),
        int(facts["input_size"][1]) if facts.get("fixed_input_size") else None,
    )


def _build_torchvision(name: str, *, pretrained: bool) -> Architecture:
    declare_torchvision_operators()
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        close = ", ".join(n for n in known if n.startswith(name[:5])) or ", ".join(known[:4])
        raise EncoderError(f'torchvision has no model "{name}"; close names: {close}')
    with explained_download(f"torchvision:{name}"):
        network = models.get_model(name, weights="DEFAULT" if pretrained else None)
    linear = [n for n, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise EncoderError(f"torchvision:{name} has no linear classifier to leave out; use timm")
    network.set_submodule(linear[-1], nn.Identity())
    fixed = getattr(network, "image_size", None)
    return Architecture(network, network, (linear[-1],), IMAGENET_MEAN, IMAGENET_STD, fixed)


def _channels(values: Sequence[float]) -> Channels:
    red, green, blue = values
    return float(red), float(green), float(blue)
