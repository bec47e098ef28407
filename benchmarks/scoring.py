"""What scoring costs: patients from their bags, and the heatmap of a large slide.

Bags are of random numbers, width 1,024, in float16 as extraction writes them, read from a warm page
cache.

    python benchmarks/scoring.py --patients 1000 --patches 100000 --canvas 10000
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from cmil.aggregators import build_aggregator
from cmil.heatmap import ColourScale, overlay, patch_map
from cmil.run_record import describe_machine
from cmil.settings import MilSettings
from feature_extraction.bags import Bag, bag_path, read_bag, write_bag

WIDTH = 1024
CLAMS_SIZE = {"hidden": 512, "attention_width": 256}


def main() -> None:
    """Time both, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--patches", type=int, default=100_000, help="of the heatmap")
    parser.add_argument("--canvas", type=int, default=10_000, help="its side in px")
    parser.add_argument("--folder", type=Path, help="where to write; without it, a temporary one")
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        time_prediction(arguments.patients, Path(folder))
    time_heatmap(arguments.patches, arguments.canvas)


def time_prediction(patients: int, folder: Path) -> None:
    """Read and score patients of 3,855 instances; twenty bags, over and over."""
    rng = np.random.default_rng(0)
    files = min(20, patients)
    side = np.arange(3855)
    for number in range(files):
        features = rng.standard_normal((3855, WIDTH), dtype=np.float32).astype(np.float16)
        coords = np.stack([side % 64, side // 64], axis=1) * 224
        write_bag(
            bag_path(folder, str(number)), Bag(features, coords, attributes={"patch_px": 224})
        )
    print(f"{patients} patients of 3855 instances, read and scored by one model")
    print("| network | CPU-s | s |")
    print("|---|---|---|")
    for name, settings in (("as it comes", {}), ("of CLAM's size", CLAMS_SIZE)):
        model = build_aggregator(MilSettings.model_validate(settings), WIDTH)
        cpu, wall = time.process_time(), time.perf_counter()
        for number in range(patients):
            bag = read_bag(bag_path(folder, str(number % files)))
            model.score(torch.from_numpy(bag.features))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        print(f"| gated attention {name} | {cpu:.1f} | {wall:.1f} |", flush=True)
    print()


def time_heatmap(patches: int, canvas: int) -> None:
    """Paint patches that fill a square canvas, and lay them over an image."""
    across = int(np.ceil(np.sqrt(patches)))
    side = 224
    places = np.arange(patches)
    coords = np.stack([places % across, places // across], axis=1) * side
    values = np.random.default_rng(0).exponential(size=patches).astype(np.float32)
    image = np.full((canvas, canvas, 3), 200, dtype=np.uint8)
    scale = ColourScale.of_attention(values)
    level0 = (across * side, across * side)
    taken = {"painted": [], "painted and laid over an image": []}
    for _ in range(3):
        start = time.process_time()
        painted = patch_map(coords, values, side, level0, (canvas, canvas))
        taken["painted"].append(time.process_time() - start)
        overlay(image, painted, scale)
        taken["painted and laid over an image"].append(time.process_time() - start)
    for name, seconds in taken.items():
        print(f"{patches} patches on {canvas} px, {name}: {median(seconds):.2f} CPU-s")


if __name__ == "__main__":
    main()
