"""What a heatmap costs: 100,000 patches painted and blended over a 10,000 px image.

python benchmarks/heatmap.py --patches 100000 --canvas 10000
"""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
import pandas as pd

from cmil.heatmap import ColourScale, overlay
from cmil.patch_map import PatchMap, patch_map
from cmil.run_record import describe_machine

_SIDE = 256


def main() -> None:
    """Print the CPU-seconds of each step, on one thread; the least of several rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=100_000)
    parser.add_argument("--canvas", type=int, default=10_000, help="side in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    across = int(np.ceil(arguments.patches**0.5))
    place = np.arange(arguments.patches)
    coords = _SIDE * np.stack([place % across, place // across], axis=1)
    values = rng.gamma(0.5, 2, arguments.patches).astype(np.float32)
    scale = ColourScale.of_attention(values)
    pixels = rng.integers(0, 256, (arguments.canvas, arguments.canvas, 3), dtype=np.uint8)

    def painted() -> PatchMap:
        shape = (arguments.canvas, arguments.canvas)
        return patch_map(coords, values, _SIDE, (across * _SIDE, across * _SIDE), shape)

    on_canvas = painted()
    steps: dict[str, Callable[[], object]] = {
        "patch map": painted,
        "patch map as one float for each pixel": lambda: painted().canvas(),
        "colours blended over an image": lambda: overlay(pixels, on_canvas, scale),
        "heatmap: patch map and colours": lambda: overlay(pixels, painted(), scale),
    }
    rows = [
        {"step": name, "CPU seconds": min(cpu_seconds(work) for _ in range(arguments.rounds))}
        for name, work in steps.items()
    ]
    print(f"{arguments.patches} patches, canvas of {arguments.canvas} x {arguments.canvas} px")
    print(pd.DataFrame(rows).round(3).to_string(index=False))
    print(describe_machine())


def cpu_seconds(work: Callable[[], object]) -> float:
    """Processor time of one call, of all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
