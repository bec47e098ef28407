"""What an encoder needs of that which computes it."""

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cohorts.errors import EncoderError
from feature_extraction.settings import Channels

Backend = Literal["torch", "openvino"]
Precision = Literal["float32", "bfloat16", "int8"]
Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float32]


class Runtime(Protocol):
    """A network made ready for one kind of processor.

    Attributes
    ----------
    in_flight
        How many batches are worth starting before the first of them is collected.
    """

    backend: Backend
    precision: Precision
    device: torch.device
    in_flight: int

    def start(self, patches: Pixels) -> Callable[[], Vectors]:
        """Start to embed (B, H, W, 3) patches; what is given waits for their (B, D) vectors."""


def no_room_for(patches: int) -> EncoderError:
    """Say that a batch does not fit into the GPU, and what to do."""
    return EncoderError(
        f"the GPU's memory does not hold a batch of {patches} patches; lower batch_size or free it"
    )


class OnPixels(nn.Module):
    """A network that takes pixels as they come: normalisation is compiled along with it."""

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, mean: Channels, std: Channels) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("scale", 1 / (torch.tensor(std).view(1, 3, 1, 1) * 255))

    def forward(self, patches: Tensor) -> Tensor:
        """Embed (B, H, W, 3) uint8 patches as (B, D) float32."""
        # A permuted NHWC tensor is an NCHW tensor in channels-last order: nothing is copied.
        images = patches.permute(0, 3, 1, 2).float()
        vectors: Tensor = self.network((images - self.mean) * self.scale)
        return vectors.float()
