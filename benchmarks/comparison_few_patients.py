"""Comparing two AUCs of few patients: how often equal scores differ, and the interval holds.

Draws cohorts of a few patients of each label, whose scores are normal, correlated between the two
models, and of a known AUC each; or of one model and a score that is the same for all. Counts how
often p is at most 0.05, which for equal models is an error, and how often the interval holds the
true difference; beside the comparison's own test and interval stand DeLong's.

    python benchmarks/comparison_few_patients.py --cohorts 1000
"""

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from cmil.validation.auc_difference import auc_difference, few_patients_auc_difference
from cmil.validation.discrimination import estimate_auc

LEVEL = 0.05
SIZES = ((5, 5), (6, 7), (9, 9), (5, 30))
DRAWS = 400


@dataclass(frozen=True)
class Pair:
    """AUCs of two models, of which the second may be the same for all, and their correlation."""

    one: float
    other: float | None
    correlation: float = 0.0

    @property
    def difference(self) -> float:
        """Of the AUCs."""
        return self.one - (0.5 if self.other is None else self.other)

    def __str__(self) -> str:
        """Name it for the table."""
        if self.other is None:
            return f"{self.one} and a constant"
        return f"{self.one} and {self.other}, correlated {self.correlation}"


PAIRS = (
    Pair(0.5, None),
    *(Pair(auc, auc, correlation) for auc in (0.5, 0.8) for correlation in (0.0, 0.7)),
    Pair(0.9, None),
    Pair(0.9, 0.7, 0.5),
)


def main() -> None:
    """Draw, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=1000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    kinds = [(size, pair) for size in SIZES for pair in PAIRS]
    seeds = np.random.SeedSequence(arguments.seed).spawn(len(kinds))
    rows = [
        row_of(size, pair, arguments.cohorts, np.random.default_rng(seed))
        for (size, pair), seed in zip(kinds, seeds, strict=True)
    ]
    print(pd.DataFrame(rows).to_string(index=False))


def row_of(
    size: tuple[int, int], pair: Pair, cohorts: int, rng: np.random.Generator
) -> dict[str, object]:
    """Count over cohorts of one kind."""
    labels = np.repeat([1, 0], size)
    counts = {"p <= 0.05": 0, "holds": 0, "DeLong p <= 0.05": 0, "DeLong holds": 0}
    for _ in range(cohorts):
        one, other = scores_of(pair, labels, rng)
        limits = limits_of(one, labels, rng), limits_of(other, labels, rng)
        few = few_patients_auc_difference(one, other, labels, limits, rng)
        delong = auc_difference(one, other, labels)
        for title, found in (("", few), ("DeLong ", delong)):
            counts[f"{title}p <= 0.05"] += found.p <= LEVEL
            counts[f"{title}holds"] += found.ci_low <= pair.difference <= found.ci_high
    shares = {title: f"{count / cohorts:.3f}" for title, count in counts.items()}
    return {"patients": f"{size[0]} and {size[1]}", "AUCs": str(pair), **shares}


def scores_of(
    pair: Pair, labels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the scores of both models; two normals with d between them have an AUC of Phi(d/√2)."""
    shared = rng.normal(size=len(labels)) * pair.correlation**0.5

    def drawn(auc: float) -> np.ndarray:
        own = rng.normal(size=len(labels)) * (1 - pair.correlation) ** 0.5
        return 2**0.5 * norm.ppf(auc) * labels + shared + own

    one = drawn(pair.one)
    return one, np.zeros(len(labels)) if pair.other is None else drawn(pair.other)


def limits_of(
    scores: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> tuple[float, float]:
    """Give the interval of an AUC as the comparison does, with a bootstrap within labels."""
    if np.ptp(scores) == 0:
        return 0.5, 0.5
    weights = np.zeros((DRAWS, len(labels)))
    for label in (0, 1):
        patients = np.flatnonzero(labels == label)
        share = np.full(len(patients), 1 / len(patients))
        weights[:, patients] = rng.multinomial(len(patients), share, size=DRAWS)
    estimate = estimate_auc(scores, labels, weights)
    return estimate.ci_low, estimate.ci_high


if __name__ == "__main__":
    main()
