"""Labels that mean nothing are not learnt: mean out-of-fold AUC of permuted labels, by aggregator.

Draws small bags once and permutes the labels over and over; each permutation is a whole training,
the nested search included where it is named. A leak anywhere would lift the mean above one half.

    python benchmarks/mil_leakage.py --permutations 40 --threads 2
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch

from cmil.patient_bags import PatientBag, PatientBags
from cmil.settings import MilSettings
from cmil.training.cross_validation import train
from cohorts.manifest import Cohort

PATIENTS, INSTANCES, WIDTH = 40, 12, 8
# Of 20 patients a label each of 4 folds has 5: the labels of one say nothing about those of the
# others, so that within folds the expected AUC is one half. Pooled scores compare models.
QUICK: Mapping[str, Any] = {
    "folds": 4,
    "epochs": 10,
    "hidden": 16,
    "attention_width": 8,
    "learning_rate": 5e-3,
}
# Of which every aggregator searches what it reads.
SEARCH: Mapping[str, Any] = {
    "search": {
        "learning_rate": [5e-3, 5e-4],
        "dropout": [0.0, 0.5],
        "histogram": [{"classifier": "logistic_regression"}, {"classifier": "naive_bayes"}],
    },
    "search_folds": 2,
}


def main() -> None:
    """Train on permuted labels and print a table."""
    names = get_args(MilSettings.model_fields["aggregator"].annotation)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aggregators", nargs="+", default=list(names))
    parser.add_argument("--permutations", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="of bags, permutations and trainings")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| aggregator | search | pooled AUC (95% CI) | AUC within folds (95% CI) |")
    print("|---|---|---|---|")
    for name in arguments.aggregators:
        for search in ({}, {**SEARCH, "patience": 3}):
            settings = MilSettings.model_validate({**QUICK, "aggregator": name, **search})
            pooled, within = permuted(settings, arguments.permutations, arguments.seed)
            what = "nested, early stopping" if search else "none"
            print(f"| {name} | {what} | {interval(pooled)} | {interval(within)} |", flush=True)


def permuted(settings: MilSettings, times: int, first: int) -> tuple[list[float], list[float]]:
    """Out-of-fold AUC of each permutation: pooled, and the mean within folds."""
    rng = np.random.default_rng(first)
    labels = np.arange(PATIENTS) % 2
    bags = {
        f"P{i:02d}": PatientBag(torch.from_numpy(drawn(rng, int(label))), {})
        for i, label in enumerate(labels)
    }
    pooled, within = [], []
    for seed in range(first, first + times):
        table = pd.DataFrame(
            {"centre": "A", "split": "development", "label": rng.permutation(labels)},
            index=pd.Index(list(bags), name="patient_id"),
        )
        with tempfile.TemporaryDirectory() as folder:
            bundle = train(
                Cohort((), table, Path("cohort.csv")),
                PatientBags(bags, {}, WIDTH, ""),
                settings,
                Path(folder),
                label="label",
                seed=seed,
            )
        reached = bundle.facts.out_of_fold
        pooled.append(reached.auc)
        within.append(float(np.mean([auc for auc in reached.auc_of_folds if auc is not None])))
    return pooled, within


def drawn(rng: np.random.Generator, label: int) -> np.ndarray:
    """Noise; in every second bag two instances lie far from it, so that there is what to learn."""
    rows = rng.normal(size=(INSTANCES, WIDTH)).astype(np.float32)
    rows[: 2 * label, 0] += 4
    return rows


def interval(values: list[float]) -> str:
    """Mean with its normal 95% interval."""
    half = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.3f} ({np.mean(values) - half:.3f} to {np.mean(values) + half:.3f})"


if __name__ == "__main__":
    main()
