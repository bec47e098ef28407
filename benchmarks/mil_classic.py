"""Accuracy on the classic tables of multiple-instance learning, as in Ilse et al. 2018.

MUSK1, MUSK2, Elephant, Fox and Tiger: 5 times 10 folds of bags, one setting for all, through the
project's own training loop. Prints the mean accuracy over the 50 folds with its standard error.

    python benchmarks/mil_classic.py --data DIR --threads 2

DIR holds MUSK1.mat and, for others of its layout, NAME.mat; MUSK2 as MUSK2_frtsvm_165f.mat with its
bag ids and labels in .npy files (of its 166 features the first was dropped at the source). The
published recipe is that of Ilse et al.: layers of 256, 128 and 64, ReLU, dropout 0.5, attention 64,
SGD with momentum 0.9 and learning rate 5e-4, one bag a step, 100 epochs. Theirs has a weight decay
for each table; ours is one for all. `--settings cosine` is that with the learning rate falling to
nought, and `--settings defaults` what a study gets that says nothing.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.sparse import issparse

from cmil.patient_bags import PatientBag, PatientBags
from cmil.settings import MilSettings
from cmil.training.fit_workers import run_fits
from cmil.training.fits import Fit, read_result
from cohorts.splits import dealt

REPEATS, FOLDS = 5, 10
RECIPE = MilSettings(
    aggregator="gated_attention",
    layers=(256, 128),
    hidden=64,
    attention_width=64,
    dropout=0.5,
    epochs=100,
    optimiser="sgd",
    learning_rate=5e-4,
    weight_decay=5e-3,
    schedule="constant",
    balance="none",
    bags_per_step=1,
    instances_per_bag=100_000,
    precision="float32",
)
SETTINGS = {
    "recipe": RECIPE,
    "cosine": RECIPE.at({"schedule": "cosine"}),
    "defaults": MilSettings(),
}
Table = tuple[list[NDArray[np.float32]], NDArray[np.int64]]


def main() -> None:
    """Train and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", default=["MUSK1", "MUSK2"])
    parser.add_argument("--aggregators", nargs="+", default=["gated_attention"])
    parser.add_argument("--settings", choices=SETTINGS, default="recipe")
    parser.add_argument("--weight-decay", type=float, help="in place of that of the settings")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--epochs", type=int, help="in place of those of the settings")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    given = {"weight_decay": arguments.weight_decay, "epochs": arguments.epochs}
    changed = {name: value for name, value in given.items() if value is not None}
    print("| table | bags | aggregator | accuracy | standard error | minutes |")
    print("|---|---|---|---|---|---|")
    for name in arguments.tables:
        bags, labels = read_table(arguments.data, name)
        for aggregator in arguments.aggregators:
            settings = SETTINGS[arguments.settings].at({"aggregator": aggregator, **changed})
            began = time.monotonic()
            folds = accuracies(bags, labels, settings, arguments.repeats)
            minutes = (time.monotonic() - began) / 60
            print(
                f"| {name} | {len(bags)} | {aggregator} | {folds.mean():.3f} | "
                f"{folds.std(ddof=1) / np.sqrt(len(folds)):.3f} | {minutes:.1f} |",
                flush=True,
            )


def accuracies(
    bags: list[NDArray[np.float32]], labels: NDArray[np.int64], settings: MilSettings, repeats: int
) -> NDArray[np.float64]:
    """Share of held-out bags that are on the right side of a logit of 0, fold by fold."""
    names = [f"{number}" for number in range(len(bags))]
    with tempfile.TemporaryDirectory() as folder:
        fits = []
        for repeat in range(repeats):
            split, *seeds = np.random.SeedSequence(repeat).spawn(FOLDS + 1)
            fold_of = dealt(np.zeros(len(bags)), FOLDS, np.random.default_rng(split))
            for fold, seed in enumerate(seeds):
                out = fold_of == fold
                fits.append(
                    Fit(
                        fold=len(fits),
                        patients=tuple(np.array(names)[~out]),
                        truth=labels[~out].astype(float),
                        held_out=tuple(np.array(names)[out]),
                        held_out_truth=labels[out].astype(float),
                        settings=settings,
                        seed=seed,
                        result=Path(folder) / f"{repeat}-{fold}.json",
                        weights=None,
                    )
                )
        held = {n: PatientBag(torch.from_numpy(b), {}) for n, b in zip(names, bags, strict=True)}
        run_fits(fits, PatientBags(held, {}, bags[0].shape[1], ""), Path(folder), lambda *_: None)
        logits = [read_result(fit).logits[:, 0] for fit in fits]
    right = [(of > 0) == (fit.held_out_truth == 1) for of, fit in zip(logits, fits, strict=True)]
    return np.array([fold.mean() for fold in right])


def read_table(folder: Path, name: str) -> Table:
    """Read a table of instances as bags, (N, D) float32 each, and their labels, 0 or 1.

    A bag is positive if one of its instances is.
    """
    if name == "MUSK2":
        features = loadmat(folder / "MUSK2_frtsvm_165f.mat")
        features = next(v for k, v in features.items() if np.shape(v)[-1:] == (165,))
        ids, labels = (np.load(folder / f"MUSK2_{kind}.npy") for kind in ("bag_ids", "labels"))
    else:
        content = loadmat(folder / f"{name}.mat")
        features, labels, ids = (content[key] for key in ("features", "labels", "bag_ids"))
    dense, positive, of_bag = (
        np.asarray(x.todense() if issparse(x) else x) for x in (features, labels, ids)
    )
    of_bag, positive = of_bag.ravel(), positive.ravel() > 0
    bags, of = [], []
    for bag in np.unique(of_bag):
        bags.append(np.ascontiguousarray(dense[of_bag == bag], dtype=np.float32))
        of.append(int(positive[of_bag == bag].any()))
    return bags, np.array(of)


if __name__ == "__main__":
    main()
