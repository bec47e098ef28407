"""The demo: how long it takes, how much memory, and what it finds, for a few seeds.

python benchmarks/demo.py --seeds 0 1 2 --out runs/demo
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from cmil.run_record import describe_machine


def main() -> None:
    """Run the demo afresh for each seed and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, help="kept; without it, a folder for the time being")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.out or Path(temporary)
        rows = [measure(seed, out / str(seed)) for seed in arguments.seeds]
    print(pd.DataFrame(rows).round(3).to_string(index=False))
    print(describe_machine())


def measure(seed: int, out: Path) -> dict[str, float]:
    """Run `cmil demo` in a process of its own; `out` must not exist yet."""
    if out.exists():
        sys.exit(f'"{out}" exists; a demo that resumes would not be measured')
    started = time.monotonic()
    command = [sys.executable, "-m", "cmil.cli", "demo", "--seed", str(seed), "--out", str(out)]
    subprocess.run(command, check=True)
    seconds = time.monotonic() - started
    performance = pd.read_csv(out / "validation" / "performance.csv").set_index("cohort")["auc"]
    worth = pd.read_csv(out / "explanations" / "faithfulness.csv")
    attention = worth.loc[worth["map"] == "attention", "truth_auc"].dropna()
    # Of the largest single process: the drawing processes and the study do not run together.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "seed": seed,
        "wall seconds": seconds,
        "peak MiB": peak,
        **{f"AUC {name}": auc for name, auc in performance.items()},
        "attention AUC, mean": attention.mean(),
        "attention AUC, lowest": attention.min(),
    }


if __name__ == "__main__":
    main()
