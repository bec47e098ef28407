"""Build an encoder by name.

Presets have a name of their own; `timm:NAME`, `torchvision:NAME` and `hf-hub:OWNER/NAME` are those
of the libraries and the hub, `untrained:` before any of them gives random weights, and
`stain-filters` needs none.
"""

import hashlib

import numpy as np
import torch
from torch import nn

from cohorts.errors import EncoderError
from cohorts.files import digest_of
from feature_extraction.encoders.architectures import Architecture, build_architecture
from feature_extraction.encoders.choice import Chosen, choose_runtime, torch_on
from feature_extraction.encoders.devices import best_device, compute_float32_in_full
from feature_extraction.encoders.encoder import Encoder
from feature_extraction.encoders.presets import STAIN_FILTERS
from feature_extraction.encoders.runtime import OnPixels, Pixels
from feature_extraction.encoders.weights import load_weights
from feature_extraction.settings import ExtractionSettings

# Random weights are drawn from one seed, so that an untrained encoder is the same everywhere.
_UNTRAINED_SEED = 0


def load_encoder(settings: ExtractionSettings) -> Encoder:
    """Build the encoder of a study, on what is best of this machine.

    Raises
    ------
    EncoderError
        If the name is unknown, the weights do not fit or cannot be had, or the settings ask for
        a backend or precision that cannot be had.
    """
    name = settings.encoder.removeprefix("untrained:")
    untrained = name != settings.encoder
    if name == STAIN_FILTERS.name and (untrained or settings.weights or settings.mean):
        raise EncoderError(f'encoder "{name}" has no weights; drop weights, mean and std')
    if untrained and settings.weights:
        raise EncoderError(
            f'encoder "{settings.encoder}" is untrained but weights are given; drop one'
        )
    compute_float32_in_full()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_UNTRAINED_SEED)
        architecture = build_architecture(
            name, pretrained=not untrained and settings.weights is None
        )
    if settings.weights:
        load_weights(
            settings.weights, architecture.backbone, architecture.heads, architecture.renamed
        )
    return _make_ready(architecture, settings)


def _make_ready(architecture: Architecture, settings: ExtractionSettings) -> Encoder:
    mean, std = settings.mean or architecture.mean, settings.std or architecture.std
    input_px = architecture.input_px or settings.patch_px
    network = OnPixels(architecture.network, mean, std).eval()
    dimension = _dimension(network, settings.encoder, input_px)
    weights = _digest_of_weights(architecture.network)
    chosen = _chosen(network, settings, input_px)
    identity = [settings.encoder, dimension, weights, list(mean), list(std), input_px]
    quantised = chosen.runtime.precision == "int8"
    return Encoder(
        settings.encoder,
        digest_of([*identity, architecture.output, "int8" if quantised else "float"]),
        dimension,
        input_px,
        chosen.runtime,
        chosen.drift,
        chosen.passed_over,
    )


def _chosen(network: OnPixels, settings: ExtractionSettings, input_px: int) -> Chosen:
    if settings.encoder != STAIN_FILTERS.name:
        return choose_runtime(network, settings, input_px)
    # Absorbance differences of a percent count, and there is little to compute.
    runtime = torch_on(best_device(), network, "float32", settings, _blank(input_px))
    return Chosen(runtime, None, ())


def _blank(side: int) -> Pixels:
    return np.full((1, side, side, 3), 255, dtype=np.uint8)


def _dimension(network: OnPixels, name: str, input_px: int) -> int:
    """Give D by embedding one white patch."""
    try:
        with torch.inference_mode():
            return int(network(torch.from_numpy(_blank(input_px))).shape[1])
    except (RuntimeError, ValueError, AssertionError) as error:
        raise EncoderError(
            f'encoder "{name}" does not take patches of {input_px} x {input_px} pixels '
            f"({' '.join(str(error).split())}); choose another patch_px"
        ) from error


def _digest_of_weights(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
