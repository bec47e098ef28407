"""How long the whole survival analysis takes, tables and figures apart.

Draws patients of one development and two external centres with five covariates, and runs
`survival.analyse` as a study does.

    python benchmarks/survival_speed.py --patients 5000 --samples 1000
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from survival import Endpoint, SurvivalSettings, analyse, write_figures

COVARIATES = ("age", "ldh", "ferritin", "mycn", "stage4")


def main() -> None:
    """Draw, analyse, and print seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=5000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    predictions, patients = draw(arguments.patients, np.random.default_rng(arguments.seed))
    settings = SurvivalSettings(
        covariates=COVARIATES, subgroups=("mycn",), bootstrap_samples=arguments.samples
    )
    endpoints = {"overall survival": Endpoint(time="months", event="died")}
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        results = analyse(predictions, patients, endpoints, settings, Path(folder), "drawn")
        analysed = time.monotonic()
        figures = write_figures(results, Path(folder) / "figures")
        drawn = time.monotonic()
    print(f"{arguments.patients} patients, {arguments.samples} bootstrap samples")
    print(f"analysis {analysed - started:.1f} s, {len(results.tables)} tables")
    print(f"figures {drawn - analysed:.1f} s, {len(figures)} files")


def draw(patients: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw predictions and patients: half in development, a quarter in each external centre."""
    centre = np.repeat(
        ["Alder", "Birch", "Cedar"], [patients - 2 * (patients // 4), *2 * [patients // 4]]
    )
    split = np.where(centre == "Alder", "development", "external")
    score = rng.beta(1.3, 1.6, patients)
    covariates = rng.normal(size=(patients, 3))
    flags = rng.random((patients, 2)) < (0.25, 0.5)
    risk = 1.5 * (score - 0.45) + covariates @ (0.3, 0.2, 0.0) + flags @ (0.6, 0.4)
    event = rng.exponential(60 * np.exp(-risk))
    censored = rng.uniform(12, 120, patients)
    ids = [f"P{number:05d}" for number in range(patients)]
    predictions = pd.DataFrame(
        {
            "patient_id": ids,
            "centre": centre,
            "split": split,
            "score_kind": np.where(split == "development", "oof", "external"),
            "score": score,
            "model_digest": "drawn",
        }
    )
    outcomes = {
        "months": np.minimum(event, censored).round(2).clip(0.03),
        "died": (event <= censored).astype(int),
    }
    columns = dict(zip(COVARIATES, [*covariates.T, *flags.T.astype(float)], strict=True))
    return predictions, pd.DataFrame(outcomes | columns, index=pd.Index(ids, name="patient_id"))


if __name__ == "__main__":
    main()
