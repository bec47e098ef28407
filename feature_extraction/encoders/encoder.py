"""Run an encoder on batches of patches, in the precision that pays on this machine."""

import hashlib
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cohorts.errors import EncoderError
from cohorts.files import digest_of
from feature_extraction.settings import Channels

Precision = Literal["float32", "bfloat16"]


class Encoder:
    """A network from a patch to a vector, with the normalisation its weights expect.

    Attributes
    ----------
    name
        As the study names it.
    digest
        SHA-256 over architecture, weights, normalisation and input size: two bags with the same
        digest are comparable.
    dimension
        D, the length of a vector.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        *,
        mean: Channels,
        std: Channels,
        input_px: int,
        precision: Literal["auto", "float32", "bfloat16"],
        device: torch.device,
    ) -> None:
        self.name = name
        self.device = device
        self.precision: Precision = native_precision(device) if precision == "auto" else precision
        self._input_px = input_px
        # torch's stubs know `to` with a device or a memory format, not with both
        placed = cast("Any", network.eval()).to(device, memory_format=torch.channels_last)
        self._network: nn.Module = placed
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1) * 255
        self._scale = 1 / (torch.tensor(std, device=device).view(1, 3, 1, 1) * 255)
        probe = np.full((1, input_px, input_px, 3), 255, dtype=np.uint8)
        try:
            self.dimension = int(self(probe).shape[1])
        except (RuntimeError, ValueError, AssertionError) as error:
            raise EncoderError(
                f'encoder "{name}" does not take patches of {input_px} x {input_px} pixels '
                f"({' '.join(str(error).split())}); choose another patch_px"
            ) from error
        self.digest = digest_of(
            [name, self.dimension, _digest_of_weights(network), list(mean), list(std), input_px]
        )

    def __call__(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed patches.

        Parameters
        ----------
        patches
            (B, H, W, 3) uint8 RGB.

        Returns
        -------
        (B, D) float32
        """
        with torch.inference_mode():
            # A permuted NHWC array is an NCHW tensor in channels-last order: nothing is copied.
            images = torch.from_numpy(patches).to(self.device).permute(0, 3, 1, 2).float()
            images = (images - self._mean) * self._scale
            if images.shape[-1] != self._input_px:
                size = (self._input_px, self._input_px)
                images = nn.functional.interpolate(
                    images, size=size, mode="bilinear", antialias=True
                )
            enabled = self.precision == "bfloat16"
            with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
                vectors = self._network(images)
            return np.asarray(vectors.float().cpu().numpy())


def native_precision(device: torch.device) -> Precision:
    """Give bfloat16 where the processor multiplies it in hardware, else float32."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    capable = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return "bfloat16" if capable else "float32"


def best_device() -> torch.device:
    """Give the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def describe_device(device: torch.device) -> str:
    """Name the device for the run record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"


def _digest_of_weights(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
