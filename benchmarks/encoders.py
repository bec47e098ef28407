"""How much faster than an ordinary loop each runtime embeds, and what its embeddings lose.

The ordinary loop is that of CLAM and TRIDENT on a CPU: eager float32, normalisation of each batch,
`torch.inference_mode`. Both are timed in turn, so that what else the machine does meets both, and
compared pair by pair. Weights are random and from a fixed seed. The share is that of the fastest
product of two float32 matrices on this machine: what computes in float32 cannot do better than 1,
but for convolutions that need fewer multiplications than the plain sum (Winograd's).

    python benchmarks/encoders.py --pairs 5 --threads 2
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from feature_extraction import ExtractionSettings
from feature_extraction.encoders import load_encoder
from feature_extraction.encoders.architectures import build_architecture
from feature_extraction.encoders.devices import native_precision
from feature_extraction.encoders.presets import IMAGENET_MEAN, IMAGENET_STD
from feature_extraction.encoders.probe import draw_probe, lowest_cosine

ENCODERS = ("timm:resnet50", "timm:mobilenetv3_large_100", "timm:vit_small_patch16_224")
Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Way:
    """A backend and precision to time."""

    title: str
    backend: str
    precision: str


def main() -> None:
    """Time the encoders and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="timings of each way")
    parser.add_argument("--encoders", nargs="+", default=ENCODERS)
    parser.add_argument("--batch", type=int, default=32, help="patches a batch")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    patches = draw_probe(arguments.batch, 224, seed=2)
    peak = matrix_product_rate()
    print(f"fastest product of float32 matrices: {peak / 1e9:.0f} GFLOP/s\n")
    print("| encoder | way | images/s | over the loop (median, range) | lowest centred cosine | "
          "share of the peak |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    for name in arguments.encoders:
        loop = ordinary_loop(name)
        exact = loop(patches)
        loop_rates = []
        work = operations_of(name, patches[:1])
        for way in ways():
            embed = ready(name, way)
            cosine = lowest_cosine(exact, embed(patches))
            rates = [(rate(loop, patches), rate(embed, patches)) for _ in range(arguments.pairs)]
            loop_rates += [slow for slow, _ in rates]
            ratios = np.array([fast / slow for slow, fast in rates])
            reached = float(np.median([fast for _, fast in rates]))
            print(
                f"| {name} | {way.title} | {reached:.1f} | "
                f"{np.median(ratios):.2f}x ({ratios.min():.2f} to {ratios.max():.2f}) | "
                f"{cosine:.4f} | {reached * work / peak:.2f} |",
                flush=True,
            )
        usual = float(np.median(loop_rates))
        print(
            f"| {name} | ordinary loop | {usual:.1f} | | | {usual * work / peak:.2f} |", flush=True
        )


def matrix_product_rate(side: int = 2048, times: int = 8) -> float:
    """Floating-point operations a second of the fastest of several products of square matrices."""
    left, right = torch.randn(2, side, side)
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds)


def operations_of(name: str, patch: NDArray[np.uint8]) -> int:
    """Floating-point operations of the network for one image, as the plain sums count them."""
    with FlopCounterMode(display=False) as counter:
        ordinary_loop(name)(patch)
    return int(counter.get_total_flops())


def ways() -> list[Way]:
    """List what this machine can run."""
    listed = [Way("torch, auto", "torch", "auto")]
    if native_precision(torch.device("cpu")) == "bfloat16":
        listed.append(Way("torch, float32", "torch", "float32"))
    if importlib.util.find_spec("openvino") is not None:
        listed.append(Way("OpenVINO, auto", "openvino", "auto"))
        if native_precision(torch.device("cpu")) == "bfloat16":
            listed.append(Way("OpenVINO, bfloat16", "openvino", "bfloat16"))
        if importlib.util.find_spec("nncf") is not None:
            listed.append(Way("OpenVINO, int8", "openvino", "int8"))
    return listed


def ordinary_loop(name: str) -> Embed:
    """Give the embedding step of CLAM and TRIDENT, on the same weights as the encoder's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_architecture(name, pretrained=False).network.eval()
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD).view(3, 1, 1)

    def embed(patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            images = torch.from_numpy(patches).permute(0, 3, 1, 2).contiguous().float() / 255
            vectors: NDArray[np.float32] = network((images - mean) / std).numpy()
        return vectors

    return embed


def ready(name: str, way: Way) -> Embed:
    """Build the encoder as a study would."""
    settings = {
        "encoder": f"untrained:{name}",
        "mpp": "native",
        "backend": way.backend,
        "precision": way.precision,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
    }
    return load_encoder(ExtractionSettings.model_validate(settings))


def rate(embed: Embed, patches: NDArray[np.uint8]) -> float:
    """Images a second of one batch."""
    start = time.perf_counter()
    embed(patches)
    return len(patches) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
