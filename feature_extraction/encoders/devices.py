"""What an encoder is computed on, and in what numbers it is fastest there."""

import torch

from feature_extraction.encoders.runtime import Precision


def best_device() -> torch.device:
    """Give the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def native_precision(device: torch.device) -> Precision:
    """Give bfloat16 where the processor multiplies it in hardware, else float32."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    capable = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return "bfloat16" if capable else "float32"


def describe_device(device: torch.device) -> str:
    """Name the device for the run record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"


def compute_float32_in_full() -> None:
    """Keep GPUs from rounding factors of float32 convolutions to 10 bits, as torch lets them."""
    torch.backends.cudnn.allow_tf32 = False
