"""Encoders by short name: how each is built and where its weights are published.

Facts only; importing this loads neither torch nor timm. Architectures and keywords are those of the
model cards as loaded by public code; what no source confirmed says so beside its entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from feature_extraction.settings import Channels

Output = Literal["pooled", "class token", "class token and mean"]

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)
_BIOPTIMUS_MEAN: Channels = (0.707223, 0.578729, 0.703617)
_BIOPTIMUS_STD: Channels = (0.211883, 0.230117, 0.177517)


@dataclass(frozen=True)
class EncoderFacts:
    """What a listing tells of an encoder.

    Attributes
    ----------
    dimension
        D, the length of a vector.
    input_px
        Side of the patches it takes, or None if any will do.
    network
        timm's name of it, or what it is.
    output
        What of the network makes the vector.
    mean, std
        By which levels from 0 to 1 are normalised, channel by channel, or None.
    licence
        Of the weights.
    gated
        Whether the licence has to be accepted on a web page before the weights can be downloaded.
    source
        The page that publishes the weights, or an empty text where there are none.
    """

    name: str
    dimension: int
    input_px: int | None
    network: str
    output: str
    mean: Channels | None
    std: Channels | None
    licence: str
    gated: bool
    source: str


@dataclass(frozen=True)
class Preset:
    """An encoder with published weights.

    Attributes
    ----------
    architecture
        timm's name of the network.
    keywords
        What timm has to be told beyond it; `swiglu` and `conv_stem` stand for classes.
    output
        Which of the network's tokens make the vector.
    repository
        Of its weights on the Hugging Face hub.
    """

    name: str
    architecture: str
    dimension: int
    licence: str
    gated: bool
    repository: str
    output: Output = "class token"
    keywords: Mapping[str, Any] = field(default_factory=dict)
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD
    input_px: int = 224

    @property
    def page(self) -> str:
        """Where the weights, and the licence to accept, are found."""
        return f"https://huggingface.co/{self.repository}"


_UNI2 = {
    "patch_size": 14, "depth": 24, "num_heads": 24, "init_values": 1e-5, "embed_dim": 1536,
    "mlp_ratio": 2.66667 * 2, "no_embed_class": True, "swiglu": True, "reg_tokens": 8,
}  # fmt: skip
_VIRCHOW2 = {"init_values": 1e-5, "mlp_ratio": 5.3375, "swiglu": True, "reg_tokens": 4}

# DinoBloom's authors publish on Zenodo (record 10908163), with `backbone.` before every name; the
# hub has a copy in timm's names. Whether the copy's position embedding is for 224 px could not be
# confirmed; one for another size is refused with a message. CTransPath's authors publish the
# names of timm 0.5.4; both layouts are read. Whether H-optimus-0 asks for an accepted
# licence could not be confirmed; if it does not, nothing is lost.
_PRESETS = (
    Preset("dinobloom-s", "vit_small_patch14_dinov2", 384, "Apache-2.0", False,
           "1aurent/vit_small_patch14_224.dinobloom"),
    Preset("dinobloom-b", "vit_base_patch14_dinov2", 768, "Apache-2.0", False,
           "1aurent/vit_base_patch14_224.dinobloom"),
    Preset("dinobloom-l", "vit_large_patch14_dinov2", 1024, "Apache-2.0", False,
           "1aurent/vit_large_patch14_224.dinobloom"),
    Preset("uni2-h", "vit_giant_patch14_224", 1536, "CC-BY-NC-ND-4.0", True,
           "MahmoodLab/UNI2-h", keywords=_UNI2),
    Preset("virchow2", "vit_huge_patch14_224", 2560, "CC-BY-NC-ND-4.0", True,
           "paige-ai/Virchow2", "class token and mean", keywords=_VIRCHOW2),
    Preset("h-optimus-0", "vit_giant_patch14_reg4_dinov2", 1536, "Apache-2.0", True,
           "bioptimus/H-optimus-0", mean=_BIOPTIMUS_MEAN, std=_BIOPTIMUS_STD),
    Preset("h-optimus-1", "vit_giant_patch14_reg4_dinov2", 1536, "CC-BY-NC-ND-4.0", True,
           "bioptimus/H-optimus-1", mean=_BIOPTIMUS_MEAN, std=_BIOPTIMUS_STD),
    Preset("ctranspath", "swin_tiny_patch4_window7_224", 768, "GPL-3.0", False,
           "1aurent/swin_tiny_patch4_window7_224.CTransPath", "pooled",
           keywords={"conv_stem": True}),
)  # fmt: skip

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _PRESETS})

STAIN_FILTERS = EncoderFacts(
    "stain-filters",
    dimension=225,
    input_px=None,
    network="a fixed bank of absorbance filters",
    output="pooled",
    mean=None,
    std=None,
    licence="Apache-2.0",
    gated=False,
    source="",
)


def known_encoders() -> list[EncoderFacts]:
    """List the encoders that have a name of their own; timm, torchvision and the hub have more."""
    presets = [
        EncoderFacts(
            name=preset.name,
            dimension=preset.dimension,
            input_px=preset.input_px,
            network=preset.architecture,
            output=preset.output,
            mean=preset.mean,
            std=preset.std,
            licence=preset.licence,
            gated=preset.gated,
            source=preset.page,
        )
        for preset in _PRESETS
    ]
    return [*presets, STAIN_FILTERS]
