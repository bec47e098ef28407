"""Soak: an extraction that is killed again and again ends as one that was left in peace.

Draws small slides, of which one in twenty (at least four) is damaged. Extracts them undisturbed
into one folder, and into another with a `cmil extract` that is killed (SIGKILL) at random moments
and started again. Both must hold the same bags, byte for byte, and the failed slides must be the
damaged ones.

    python benchmarks/soak.py --out runs/soak
    python benchmarks/soak.py --out runs/soak --slides 40 --engine ray
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from cmil.run_record import describe_machine
from cohorts.files import write_text
from cohorts.pyramid_tiff import write_pyramid
from cohorts.smear_drawing import draw_smear
from cohorts.smear_scanner import Laboratory

SIDE = 768
DAMAGED_SHARE = 0.05
LABORATORY = Laboratory(
    mpp=0.25, white=(250, 238, 228),
    stain=((0.58, 1.0, 0.2), (0.32, 0.88, 0.74), (1.0, 0.8, 0.12)),
    blur=0.7, sharpening=0.3, noise=2.0, jpeg_quality=85,
)  # fmt: skip
STUDY = """title = "Soak"

[cohort]
manifest = "cohort.csv"
label = ""

[extraction]
encoder = "stain-filters"
mpp = "native"
patch_px = 96
precision = "float32"
"""


def main() -> None:
    """Draw, extract twice, compare, and print what happened."""
    arguments = _arguments()
    out: Path = arguments.out
    damaged = draw_study(out / "study", arguments.slides)
    healthy = arguments.slides - len(damaged)
    rng = np.random.default_rng(arguments.seed)
    targets = sorted(rng.choice(np.arange(1, round(0.9 * healthy)), arguments.kills, replace=False))

    rows = [extracted("undisturbed", arguments, out / "peaceful")]
    delays = rng.uniform(0, rows[0]["seconds"] / arguments.slides, arguments.kills)
    for number, (bags, delay) in enumerate(zip(targets, delays, strict=True), start=1):
        rows.append(killed(f"kill {number}", arguments, out / "killed", int(bags), float(delay)))
    rows.append(extracted("to the end", arguments, out / "killed"))

    print(pd.DataFrame(rows).round(1).to_string(index=False))
    attempts = pd.read_csv(out / "killed" / "bags" / "slides.csv")["attempts"]
    print(
        f"{arguments.slides} slides, {len(damaged)} of them damaged; {arguments.kills} kills; "
        f"{attempts.sum()} attempts noted, {attempts.max()} at most of a slide"
    )
    torch.set_num_threads(arguments.threads)  # as the runs had
    print(f"engine {arguments.engine}; {describe_machine()}")
    faults = differences(out / "peaceful" / "bags", out / "killed" / "bags", damaged)
    if faults:
        sys.exit("\n".join(faults))
    print("the bags are the same, byte for byte, and the failed slides are the damaged ones")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/soak"))
    parser.add_argument("--slides", type=int, default=300, help="20 or more")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--engine", choices=["local", "ray"], default="local")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.slides < 20:
        parser.error("four slides or more are damaged: --slides 20 or more")
    for name in ("peaceful", "killed"):
        if (arguments.out / name).exists():
            parser.error(f'"{arguments.out / name}" exists; remove it, or choose another --out')
    return arguments


def draw_study(folder: Path, slides: int) -> frozenset[str]:
    """Draw the slides that are not there yet; give the ids of those that are damaged."""
    ids = [f"S{number:03d}" for number in range(slides)]
    count = max(len(DAMAGES), round(DAMAGED_SHARE * slides))
    damaged = [ids[index] for index in np.linspace(0, slides - 1, count).round().astype(int)]
    (folder / "slides").mkdir(parents=True, exist_ok=True)
    missing = [name for name in ids if not slide_path(folder, name).exists()]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(draw_slide, [slide_path(folder, name) for name in missing]))
    for number, name in enumerate(damaged):
        if name in missing:
            DAMAGES[number % len(DAMAGES)](slide_path(folder, name))
    rows = [f"P{name},{name},slides/{name}.tif,Soak" for name in ids]
    write_text(folder / "cohort.csv", "\n".join(["patient_id,slide_id,path,centre", *rows, ""]))
    write_text(folder / "study.toml", STUDY)
    return frozenset(damaged)


def slide_path(folder: Path, slide_id: str) -> Path:
    """Where a drawn slide lies."""
    return folder / "slides" / f"{slide_id}.tif"


def draw_slide(path: Path) -> None:
    """Draw a small smear; its seed is its name."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(list(path.stem.encode()))
    clumps = [int(rng.integers(6, 16))] if rng.random() < 0.5 else []
    smear = draw_smear(rng, LABORATORY, size=(SIDE, SIDE), clumps=clumps)
    write_pyramid(path, smear.image, mpp=LABORATORY.mpp, quality=LABORATORY.jpeg_quality)


def _cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 5)


def _emptied(path: Path) -> None:
    os.truncate(path, 0)


def _another_file(path: Path) -> None:
    path.write_text("this is not the slide you are looking for\n" * 500, encoding="utf-8")


def _damaged_tile(path: Path) -> None:
    """Overwrite half of the first tile, which the first patches are cut from."""
    with path.open("rb+") as file:
        file.seek(8)
        file.write(b"\0" * 5000)


DAMAGES: Sequence[Callable[[Path], None]] = (_cut_short, _emptied, _another_file, _damaged_tile)


def extracted(run: str, arguments: argparse.Namespace, out: Path) -> Mapping[str, object]:
    """Extract to the end; exit code 1 says that slides failed, as some are to."""
    started = time.monotonic()
    done = subprocess.run(command_of(arguments, out), capture_output=True, text=True, check=False)
    if done.returncode != 1 or "Traceback" in done.stderr:
        sys.exit(f"{run}: exit code {done.returncode}\n{done.stderr}")
    return row_of(run, started, out)


def killed(
    run: str, arguments: argparse.Namespace, out: Path, bags: int, delay: float
) -> Mapping[str, object]:
    """Extract until so many bags are there, and the delay is over; then kill."""
    started = time.monotonic()
    process = subprocess.Popen(
        command_of(arguments, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while len(bags_in(out / "bags")) < bags:
        if process.poll() is not None:
            sys.exit(f"{run}: ended with {process.returncode} before it could be killed")
        time.sleep(0.01)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        sys.exit(f"{run}: ended with {process.returncode} before it could be killed")
    return row_of(run, started, out)


def command_of(arguments: argparse.Namespace, out: Path) -> Sequence[str]:
    """Give the command line of the extraction."""
    study = arguments.out / "study" / "study.toml"
    options = ["--out", str(out), "--threads", str(arguments.threads), "--engine", arguments.engine]
    return [sys.executable, "-m", "cmil.cli", "extract", str(study), *options]


def row_of(run: str, started: float, out: Path) -> Mapping[str, object]:
    """Describe a run that has just ended."""
    unfinished = len(list(out.rglob("*.part")))
    seconds = time.monotonic() - started
    bags = len(bags_in(out / "bags"))
    return {"run": run, "seconds": seconds, "bags": bags, "unfinished files": unfinished}


def bags_in(folder: Path) -> Sequence[Path]:
    """List the bags."""
    return sorted(folder.glob("*.h5"))


def differences(peaceful: Path, killed: Path, damaged: frozenset[str]) -> Sequence[str]:
    """Say in what the two folders differ from each other and from what they should hold."""
    one, other = ({path.name: path.read_bytes() for path in bags_in(f)} for f in (peaceful, killed))
    faults = [
        f"bag {name} differs, or is in one folder only"
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]
    for folder in (peaceful, killed):
        table = pd.read_csv(folder / "slides.csv").set_index("slide_id")
        failed = set(table.index[table["state"] == "failed"])
        wrong = table.loc[sorted(failed ^ damaged), ["state", "reason"]]
        faults += [f"slide {row.Index}: {row.state} ({row.reason})" for row in wrong.itertuples()]
        faults += [f'"{path}" is left over' for path in folder.rglob("*.part")]
    return faults


if __name__ == "__main__":
    main()
