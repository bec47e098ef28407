"""What scoring costs: patients from their bags.

Bags are of random numbers, width 1,024, in float16 as extraction writes them, read from a warm page
cache.

    python benchmarks/scoring.py --patients 1000
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from cmil.aggregators import build_aggregator
from cmil.run_record import describe_machine
from cmil.settings import MilSettings
from feature_extraction.bags import Bag, bag_path, read_bag, write_bag

WIDTH = 1024
CLAMS_SIZE = {"hidden": 512, "attention_width": 256}


def main() -> None:
    """Time, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where to write; without it, a temporary one")
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        time_prediction(arguments.patients, Path(folder))


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


if __name__ == "__main__":
    main()
