"""How long the evaluation of a frozen model takes, from predictions to the report.

Draws 200 development patients and 1,000 external ones in five centres, with bags of random numbers
in place of images, and trains on them. Timed are the commands that a statistician waits for:
`cmil validate`, `cmil survival` and `cmil report`, each as a process, with 2,000 bootstrap samples.

    python benchmarks/report.py --patients 1000 --samples 2000
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from cmil.run_record import describe_machine
from cohorts.files import digest_of
from feature_extraction.bags import Bag, bag_path, write_bag

CENTRES = ("Birch", "Cedar", "Elm", "Fir", "Gum")
DEVELOPMENT, INSTANCES, WIDTH = 200, 20, 16
ENCODING: dict[str, str | int | float] = {
    "encoder": "timm:resnet18",
    "encoder_digest": "e" * 64,
    "images_are": "fields",
    "patch_px": 224,
    "mpp_used": 0.5,
    "stain": "none",
}
SETTINGS = """title = "Drawn patients"
[cohort]
manifest = "cohort.csv"
[cohort.endpoints."overall survival"]
time = "months"
event = "died"
unit = "months"
[extraction]
encoder = "timm:resnet18"
mpp = 0.5
[mil]
epochs = 5
[validation]
samples = {samples}
subgroups = ["mycn"]
[survival]
covariates = ["age", "mycn"]
bootstrap_samples = {samples}
"""


def main() -> None:
    """Draw, train, and time the commands one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=1000, help="external ones")
    parser.add_argument("--samples", type=int, default=2000, help="of the bootstrap")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        draw_study(Path(folder), arguments.patients, arguments.samples)
        for command in ("train", "predict"):
            seconds_of(command, Path(folder))
        seconds = {c: seconds_of(c, Path(folder)) for c in ("validate", "survival", "report")}
    print(f"{arguments.patients} external patients, {arguments.samples} bootstrap samples")
    for command, took in seconds.items():
        print(f"cmil {command}: {took:.1f} s")
    print(f"together: {sum(seconds.values()):.1f} s")
    print(describe_machine())


def draw_study(folder: Path, external: int, samples: int) -> None:
    """Write the manifest, bags as extraction leaves them, and settings."""
    rng = np.random.default_rng(0)
    total = DEVELOPMENT + external
    label = np.arange(total) % 2
    event = rng.exponential(60 / (1 + 2 * label)) + 0.5
    patients = pd.DataFrame(
        {
            "patient_id": [f"P{number:05}" for number in range(total)],
            "centre": ["Alder"] * DEVELOPMENT + [CENTRES[i % 5] for i in range(external)],
            "split": ["development"] * DEVELOPMENT + ["external"] * external,
            "label": label,
            "months": np.minimum(event, 60).round(2),
            "died": (event <= 60).astype(int),
            "age": rng.uniform(1, 90, total).round(1),
            "mycn": rng.choice([0, 1], total),
        }
    )
    patients.insert(1, "slide_id", patients["patient_id"] + "-1")
    patients.insert(2, "path", patients["slide_id"] + ".svs")
    patients.to_csv(folder / "cohort.csv", index=False)
    (folder / "study.toml").write_text(SETTINGS.format(samples=samples))
    coords = np.stack([224 * np.arange(INSTANCES), np.zeros(INSTANCES)], axis=1).astype(np.int64)
    for slide, positive in zip(patients["slide_id"], label, strict=True):
        (folder / f"{slide}.svs").touch()
        features = rng.normal(size=(INSTANCES, WIDTH)).astype(np.float32)
        features[:3, 0] += 1.5 * positive
        attributes = {**ENCODING, "made_by": digest_of([features.tolist()])}
        bag = Bag(features, coords, attributes=attributes)
        write_bag(bag_path(folder / "out" / "bags", slide), bag)
    listed = patients[["slide_id", "patient_id"]].assign(state="made", patches=INSTANCES)
    listed.to_csv(folder / "out" / "bags" / "slides.csv", index=False)


def seconds_of(command: str, folder: Path) -> float:
    """Run a command of ours in a process of its own, its start included."""
    cmil = Path(sys.executable).with_name("cmil")
    started = time.perf_counter()
    call = [str(cmil), command, str(folder / "study.toml"), "--out", str(folder / "out")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"cmil {command}: {done.stderr}")
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
