"""What cross-fitting and densities are for: likelihood histograms against the published way.

Simulated bags: noise around a mean of each patient's own, and in positive patients a tenth of the
instances a little apart. Each way describes the same patients and goes through the same feature
selection and logistic regression. Its AUC in the training patients is what a study would
believe; its AUC in new patients is what it would get.

"counts": the published variant, in-sample likelihoods, counted. "in-sample": the same as shares.
"cross-fitted": `cmil.histograms`. In the second table there is no signal, but in the
development centre positive patients have larger bags; "same centre" are new patients of it.

    python benchmarks/cross_fitting.py
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmil.histograms.bag_of_words import bag_of_words, inverse_document_frequency
from cmil.histograms.bag_size import bag_size_association
from cmil.histograms.cross_fitting import cross_fit
from cmil.histograms.feature_selection import select_features
from cmil.histograms.final_classifier import FinalClassifier
from cmil.histograms.likelihood_histogram import likelihood_histogram
from cmil.histograms.redundancy import redundancy
from cmil.histograms.targets import targets_of
from cmil.validation.discrimination import auc_delong

WIDTH, BINS, PENALTY, FOLDS = 128, 20, 1.0, 5
WAYS = ("counts", "in-sample", "cross-fitted")


@dataclass(frozen=True)
class Patients:
    """Bags and the label of each."""

    bags: Sequence[Tensor]
    labels: NDArray[np.int64]


def draw_patients(
    patients: int, rng: np.random.Generator, *, shift: float, larger: float = 1
) -> Patients:
    """Draw patients; positive ones have bags `larger` times as large."""
    labels = np.arange(patients) % 2
    bags = []
    for label in labels:
        size = int(rng.lognormal(np.log(150), 0.3) * (larger if label else 1))
        bag = rng.normal(size=(size, WIDTH)) + 0.15 * rng.normal(size=WIDTH)
        if label:
            bag[: size // 10, 0] += shift
        bags.append(torch.from_numpy(bag.astype(np.float32)))
    return Patients(bags, labels)


def compare(training: Patients, others: Sequence[Patients], seed: int) -> pd.DataFrame:
    """AUC of each way in the training patients and in each group of others."""
    labels = training.labels
    rng = np.random.default_rng(seed)
    fitted = cross_fit(training.bags, training.bags, targets_of(labels), FOLDS, PENALTY, rng)
    seen = [fitted.classifier.likelihoods(bag) for bag in training.bags]
    rows = []
    for way in WAYS:
        known = fitted.likelihoods if way == "cross-fitted" else seen
        features = np.stack([describe(likelihoods, way) for likelihoods in known])
        selected = select_features(features, targets_of(labels), FOLDS, np.random.default_rng(seed))
        final = FinalClassifier("logistic_regression", features[:, selected], labels, seed)
        aucs = [auc_delong(final.logits(features[:, selected])[:, 0], labels).value]
        for group in others:
            new = [describe(fitted.classifier.likelihoods(bag), way) for bag in group.bags]
            logits = final.logits(np.stack(new)[:, selected])[:, 0]
            aucs.append(auc_delong(logits, group.labels).value)
        rows.append((way, *aucs))
    return pd.DataFrame(rows)


def describe(likelihoods: NDArray[np.float32], way: str) -> NDArray[np.float64]:
    """Histogram of a bag's likelihoods of class 1, counted or as shares."""
    shares = likelihood_histogram(likelihoods[:, 1], BINS).values
    return shares * len(likelihoods) if way == "counts" else shares


def redundancy_of_words(patients: Patients, seed: int) -> float:
    """Share of the bags of words that a histogram of 100 bins predicts in other patients."""
    rng = np.random.default_rng(seed)
    targets = targets_of(patients.labels)
    fitted = cross_fit(patients.bags, patients.bags, targets, FOLDS, PENALTY, rng)
    likely = [likelihoods[:, 1] for likelihoods in fitted.likelihoods]
    rarity = inverse_document_frequency(likely)
    words = np.stack([bag_of_words(bag, rarity).values for bag in likely])
    return redundancy(words, np.stack([likelihood_histogram(bag, 100).values for bag in likely]))


def averaged(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> str:
    """Mean and standard deviation over repeats, as a table to print."""
    joined = pd.concat(tables)
    joined.columns = ["way", *columns]
    grouped = joined.groupby("way", sort=False)
    means, spreads = grouped.mean(), grouped.std()
    cells = {
        column: [f"{m:.3f} +- {s:.3f}" for m, s in zip(means[column], spreads[column], strict=True)]
        for column in columns
    }
    return pd.DataFrame(cells, index=means.index).to_string()


def main() -> None:
    """Run both comparisons and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--patients", type=int, default=80, help="to train on")
    parser.add_argument("--new", type=int, default=200, help="patients in each other group")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    signal, confounded, associations, redundant = [], [], [], []
    for repeat in range(arguments.repeats):
        rng = np.random.default_rng(repeat)
        training = draw_patients(arguments.patients, rng, shift=3)
        new = draw_patients(arguments.new, rng, shift=3)
        signal.append(compare(training, [new], repeat))
        redundant.append(redundancy_of_words(training, repeat))
        sized = draw_patients(arguments.patients, rng, shift=0, larger=1.5)
        same = draw_patients(arguments.new, rng, shift=0, larger=1.5)
        external = draw_patients(arguments.new, rng, shift=0)
        confounded.append(compare(sized, [same, external], repeat))
        sizes = [len(bag) for bag in sized.bags]
        associations.append(bag_size_association(sizes, sized.labels, sized.labels))
    print(f"weak signal, AUC (mean and sd of {arguments.repeats} repeats)")
    print(averaged(signal, ["training", "new patients"]))
    print(f"bag of words predicted by the histogram: R2 {np.mean(redundant):.2f}\n")
    print("no signal, larger bags of positive patients in the development centre")
    print(averaged(confounded, ["training", "same centre", "external"]))
    print(f"bag size alone, training: {np.mean([a.auc.value for a in associations]):.3f}")


if __name__ == "__main__":
    main()
