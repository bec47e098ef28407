"""How far scores move with the number of threads, from images to scores.

Runs `examples/composed_patients.toml` with one and with two threads and prints the largest
difference between patients' scores.

    python benchmarks/threads.py --shared ../shared --out runs/threads
"""

import argparse
import subprocess
import sys
from pathlib import Path

import pandas as pd

EXAMPLE = Path(__file__).parents[1] / "examples" / "composed_patients.toml"


def main() -> None:
    """Run the study twice and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, default=Path("runs/threads"))
    arguments = parser.parse_args()
    if not (arguments.shared / "data" / "composed_patients").exists():
        parser.exit(message=f"skipped: {arguments.shared} is not here\n")
    scores = {
        name: run(arguments.shared, arguments.out / name, threads)
        for name, threads in (("one", 1), ("two", 2))
    }
    difference = (scores["one"] - scores["two"]).abs().max()
    print(f"one thread against two: largest difference of a score {difference:.2e}")


def run(shared: Path, out: Path, threads: int) -> pd.Series:
    """Extract, train and predict in processes of their own; give the scores by patient."""
    manifest = shared / "data" / "composed_patients" / "cohort.csv"
    weights = shared / "weights" / "mobilenet_v2_imagenet.safetensors"
    study = [str(EXAMPLE), "--out", str(out), "--cohort", str(manifest)]
    threads_option = ["--threads", str(threads)]
    for stage in (["extract", "--weights", str(weights)], ["train"], ["predict"]):
        command = [sys.executable, "-m", "cmil.cli", stage[0], *study, *stage[1:], *threads_option]
        subprocess.run(command, check=True)
    return pd.read_csv(out / "predictions.csv").set_index("patient_id")["score"]


if __name__ == "__main__":
    main()
