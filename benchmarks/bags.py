"""What reading and writing a bag costs, in our layout and in those of TRIDENT and CLAM.

Writes bags of random numbers to a folder and prints CPU-seconds: the median of five readings from a
warm page cache, and one writing. CPU-seconds depend less than wall time on what else runs.

    python benchmarks/bags.py --rows 100000 --width 1024
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import h5py
import numpy as np

from feature_extraction.bags import Bag, read_bag, write_bag

REPEATS = 5


def main() -> None:
    """Write, read and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--folder", type=Path, help="where to write; without it, a temporary one")
    arguments = parser.parse_args()
    print("| layout | numbers | write, CPU-s | read, CPU-s | times ours | file, MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for dtype in ("float16", "float32"):
            measure(drawn(arguments.rows, arguments.width, dtype), Path(folder) / "bag.h5")


def measure(bag: Bag, path: Path) -> None:
    """Print one row for each layout."""
    ours = None
    for layout, write, mapped in (
        ("ours, memory-mapped", write_bag, True),
        ("ours, into memory", write_bag, False),
        ("CLAM, 32 rows a chunk", lambda path, bag: write_chunked(path, bag, 32), False),
        ("TRIDENT, 1 row a chunk", lambda path, bag: write_chunked(path, bag, 1), False),
    ):
        written = cpu_seconds(lambda write=write: write(path, bag))
        read_bag(path)
        read = median(
            cpu_seconds(lambda mapped=mapped: read_bag(path, mapped=mapped)) for _ in range(REPEATS)
        )
        ours = ours or read
        size = path.stat().st_size / 1e6
        print(
            f"| {layout} | {bag.features.dtype} | {written:.2f} | {read:.3f} | "
            f"{read / ours:.1f} | {size:.1f} |",
            flush=True,
        )
        path.unlink()


def drawn(rows: int, width: int, dtype: str) -> Bag:
    """Draw normal numbers, and lay them on a grid."""
    rng = np.random.default_rng(0)
    features = np.empty((rows, width), dtype=dtype)
    for first in range(0, rows, 4096):
        block = features[first : first + 4096]
        block[:] = rng.standard_normal(block.shape, dtype=np.float32)
    corners = np.stack(np.divmod(np.arange(rows), 512), axis=1) * 448
    return Bag(features, corners, {"encoder": "random"})


def write_chunked(path: Path, bag: Bag, rows: int) -> None:
    """Write as CLAM and TRIDENT do: resizable, `rows` rows a chunk."""
    with h5py.File(path, "w") as file:
        for name, values in (("features", bag.features), ("coords", bag.coords)):
            width = values.shape[1]
            file.create_dataset(name, data=values, chunks=(rows, width), maxshape=(None, width))


def cpu_seconds(work: Callable[[], object]) -> float:
    """Time the processor spends on `work`, in this process."""
    before = time.process_time()
    work()
    return time.process_time() - before


if __name__ == "__main__":
    main()
