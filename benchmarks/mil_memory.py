"""Peak memory of training on a bag of 500,000 x 1,024 float16 that stays in its file.

    python benchmarks/mil_memory.py --rows 500000 --folder DIR

DIR takes the bag, a gigabyte. Memory is the largest resident size of this process; what importing
torch takes is given first. Instances are sampled, as by default; nothing else of the bag is held.
"""

import argparse
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch

from cmil.patient_bags import MappedPatientBag
from cmil.run_record import peak_memory_mib
from cmil.settings import MilSettings
from cmil.training.fitting import fit_aggregator
from feature_extraction.bags import read_bag

WIDTH = 1024


def main() -> None:
    """Write a large and a small bag, train on both, and print memory as it grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="where to write; without it, a temporary one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        paths = [Path(folder) / name for name in ("large.h5", "small.h5")]
        for path, rows in zip(paths, (arguments.rows, 4000), strict=True):
            write(path, rows)
        print(f"torch imported: {peak_memory_mib()} MiB")
        began = time.monotonic()
        bags = [MappedPatientBag([read_bag(path, mapped=True).features], {}) for path in paths]
        print(f"checked in {time.monotonic() - began:.1f} s: {peak_memory_mib()} MiB")
        began = time.process_time()
        settings = MilSettings(epochs=arguments.epochs)
        fit_aggregator([bag.rows for bag in bags], [1, 0], settings, np.random.SeedSequence(0))
        spent = time.process_time() - began
        print(f"{arguments.epochs} epochs in {spent:.1f} CPU-seconds: {peak_memory_mib()} MiB")


def write(path: Path, rows: int) -> None:
    """Write random embeddings, a block at a time."""
    block = np.random.default_rng(0).standard_normal((4096, WIDTH), dtype=np.float32)
    with h5py.File(path, "w") as file:
        features = file.create_dataset("features", (rows, WIDTH), "f2")
        for first in range(0, rows, len(block)):
            features[first : first + len(block)] = block[: rows - first]
        file.create_dataset("coords", data=np.zeros((rows, 2), np.int64))


if __name__ == "__main__":
    main()
