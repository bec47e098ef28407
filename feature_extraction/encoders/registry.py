"""Build an encoder by name.

`timm:NAME` and `torchvision:NAME` have pretrained weights, `untrained:` before either random ones;
`stain-filters` needs none.
"""

import os
import socket
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from cohorts.errors import EncoderError
from feature_extraction.encoders.encoder import Encoder, best_device
from feature_extraction.encoders.stain_filters import StainFilters
from feature_extraction.encoders.torchvision_operators import declare_torchvision_operators
from feature_extraction.settings import Channels, ExtractionSettings

STAIN_FILTERS = "stain-filters"

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)

# Random weights are drawn from one seed, so that an untrained encoder is the same everywhere.
_UNTRAINED_SEED = 0


@dataclass(frozen=True)
class Architecture:
    """A network without its classifier, and the facts of its published weights.

    Attributes
    ----------
    network
        Maps (B, 3, H, W) to (B, D).
    heads
        Prefixes of the classifiers' names in a file of weights; those may be there or not.
    input_px
        The only input size it takes, or None where any size will do.
    """

    network: nn.Module
    heads: tuple[str, ...]
    mean: Channels
    std: Channels
    input_px: int | None


def load_encoder(settings: ExtractionSettings) -> Encoder:
    """Build the encoder of a study, on the GPU where there is one.

    Raises
    ------
    EncoderError
        If the name is unknown, the weights do not fit, or pretrained weights cannot be had.
    """
    if settings.encoder == STAIN_FILTERS:
        return _stain_filters(settings)
    library, name, untrained = _parse(settings.encoder)
    if untrained and settings.weights:
        raise EncoderError(
            f'encoder "{settings.encoder}" is untrained but weights are given; drop one'
        )
    build = {"timm": _build_timm, "torchvision": _build_torchvision}[library]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_UNTRAINED_SEED)
        architecture = build(name, pretrained=not untrained and settings.weights is None)
    if settings.weights:
        _load_weights(architecture, settings.weights)
    return Encoder(
        settings.encoder,
        architecture.network,
        mean=settings.mean or architecture.mean,
        std=settings.std or architecture.std,
        input_px=architecture.input_px or settings.patch_px,
        precision=settings.precision,
        device=best_device(),
    )


def _stain_filters(settings: ExtractionSettings) -> Encoder:
    if settings.weights or settings.mean:
        raise EncoderError(f'encoder "{STAIN_FILTERS}" has no weights; drop weights, mean and std')
    return Encoder(
        STAIN_FILTERS,
        StainFilters(),
        mean=(0, 0, 0),
        std=(1, 1, 1),
        input_px=settings.patch_px,
        precision="float32",  # absorbance differences of a percent count
        device=best_device(),
    )


def _parse(encoder: str) -> tuple[str, str, bool]:
    untrained = encoder.startswith("untrained:")
    library, separator, name = encoder.removeprefix("untrained:").partition(":")
    if library not in {"timm", "torchvision"} or not separator or not name:
        raise EncoderError(
            f'encoder "{encoder}" is not known; write timm:NAME or torchvision:NAME, e.g. '
            "timm:resnet50, or untrained:timm:NAME for random weights"
        )
    return library, name, untrained


def _build_timm(name: str, *, pretrained: bool) -> Architecture:
    declare_torchvision_operators()
    if pretrained and not _hub_is_reachable():
        # Read when huggingface_hub is imported: the local cache answers at once, without retries.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import timm

    base = name.partition(".")[0]
    if not timm.is_model(base):
        close = ", ".join(timm.list_models(f"{base[:6]}*")[:4]) or "see timm.list_models()"
        raise EncoderError(f'timm has no model "{name}"; close names: {close}')
    with _explained_download(f"timm:{name}"):
        network = timm.create_model(name, pretrained=pretrained, num_classes=0)
    facts: dict[str, Any] = dict(vars(network)["pretrained_cfg"])
    heads = facts.get("classifier") or "head"
    return Architecture(
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
    with _explained_download(f"torchvision:{name}"):
        network = models.get_model(name, weights="DEFAULT" if pretrained else None)
    linear = [n for n, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise EncoderError(f"torchvision:{name} has no linear classifier to leave out; use timm")
    network.set_submodule(linear[-1], nn.Identity())
    fixed = getattr(network, "image_size", None)
    return Architecture(network, (linear[-1],), IMAGENET_MEAN, IMAGENET_STD, fixed)


def _load_weights(architecture: Architecture, weights: Path) -> None:
    try:
        tensors = load_file(weights)
    except FileNotFoundError as error:
        raise EncoderError(f'weights "{weights}" do not exist') from error
    except (SafetensorError, OSError) as error:
        raise EncoderError(
            f'weights "{weights.name}" are not a whole .safetensors file ({error})'
        ) from error
    heads = tuple(f"{head}." for head in architecture.heads)
    backbone = {name: tensor for name, tensor in tensors.items() if not name.startswith(heads)}
    try:
        fit = architecture.network.load_state_dict(backbone, strict=False)
    except RuntimeError as error:
        wrong_shape = str(error).splitlines()[1].strip()
        raise EncoderError(f'weights "{weights.name}" do not fit: {wrong_shape}') from error
    if fit.missing_keys or fit.unexpected_keys:
        raise EncoderError(
            f'weights "{weights.name}" are of another architecture: '
            f"{_some('missing', fit.missing_keys)}, {_some('unexpected', fit.unexpected_keys)}"
        )


def _some(what: str, names: Sequence[str]) -> str:
    return f"{len(names)} {what}" + (f" (e.g. {names[0]})" if names else "")


def _channels(values: Sequence[float]) -> Channels:
    red, green, blue = values
    return float(red), float(green), float(blue)


@contextmanager
def _explained_download(encoder: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EncoderError(
            f'the pretrained weights of "{encoder}" are not on this machine and cannot be '
            "downloaded; on a machine with a network save them as .safetensors, copy the file "
            "here and name it with --weights FILE.safetensors"
        ) from error
    except RuntimeError as error:  # timm: a tag that is not known, or no weights published
        raise EncoderError(
            f'encoder "{encoder}" cannot be built: {" ".join(str(error).split())} Choose another '
            "name, or give weights with --weights FILE.safetensors"
        ) from error


def _hub_is_reachable() -> bool:
    if urllib.request.getproxies():
        return True  # the proxy resolves the name, so a failed look-up here would say nothing
    try:
        socket.getaddrinfo("huggingface.co", 443)
    except OSError:
        return False
    return True
