"""What is read from the images, and what embeds it."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from feature_extraction.selection import KEEP_ALL, PatchRule

Channels = Annotated[tuple[float, float, float], "red, green, blue"]


def _resolution(value: object) -> object:
    if value != "native" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError('must be a number of microns per pixel, e.g. 0.5, or "native"')
    return value


class ExtractionSettings(BaseModel):
    """The `[extraction]` table of a study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: str = Field(
        description="a preset, timm:NAME, torchvision:NAME, hf-hub:OWNER/NAME or stain-filters"
    )
    weights: Path | None = Field(
        None, description="local .safetensors or .pth; without it published weights are downloaded"
    )
    mean: Channels | None = Field(None, description="normalisation of the weights, images in 0..1")
    std: Channels | None = Field(None, description="normalisation of the weights, images in 0..1")
    images: Literal["fields", "cells"] = Field(
        "fields", description="cut folders of images into patches, or take each image whole"
    )
    mpp: Annotated[float | Literal["native"], BeforeValidator(_resolution)] = Field(
        description='microns per pixel of a patch; "native" takes images as they are'
    )
    patch_px: int = Field(224, ge=16, le=2048, description="side of a patch in pixels")
    min_stained: float = Field(
        0.05, ge=0, le=1, description="least stained share of a patch; less is background"
    )
    keep: PatchRule | None = Field(
        None, description="table of the rule by which patches are kept; cells are all kept"
    )
    max_patches: int | None = Field(
        None, ge=1, description="most patches of a slide, a seeded sample spread over it"
    )
    icc: bool = Field(True, description="apply the colour profile of an image that has one")
    stain: Literal["none", "grey-world", "reinhard", "macenko"] = Field(
        "none", description="colour normalisation of patches before they are embedded"
    )
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto", description="of the encoder; auto is the fastest that leaves embeddings as they are"
    )
    backend: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="what computes the encoder; auto takes OpenVINO where it serves"
    )
    storage: Literal["float16", "float32"] = Field("float16", description="of features in the bag")
    batch_size: int = Field(64, ge=1, le=4096)

    @property
    def rule(self) -> PatchRule:
        """The rule by which patches are kept: as stated, else the usual one for what is read."""
        return self.keep or (KEEP_ALL if self.images == "cells" else PatchRule())

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together; give both or neither")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError("std must be above 0 in every channel")
        if self.mpp != "native" and not 0.01 <= self.mpp <= 20:
            raise ValueError("mpp must lie between 0.01 and 20 microns per pixel")
        if self.images == "cells" and self.mpp != "native":
            raise ValueError(
                'images = "cells" are taken whole, whatever their scale: mpp = "native"'
            )
        return self
