"""What a fit is computed on, and how precisely."""

from typing import Literal

import torch


def fitting_devices() -> list[torch.device]:
    """Give every GPU, or the CPU where there is none."""
    if torch.cuda.is_available():
        return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    return [torch.device("cpu")]


def product_type(
    precision: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> torch.dtype:
    """Give the type that matrices are multiplied in.

    "auto" is bfloat16 where the device multiplies it in hardware: elsewhere it is slower than
    float32, and less precise.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        capable = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capable = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if capable else torch.float32
