"""Accuracy on the classic tables of multiple-instance learning, as in Ilse et al. 2018.

MUSK1, MUSK2, Elephant, Fox and Tiger: 5 times 10 folds of bags, one setting for all, through the
project's own training loop; and the published recipe in plain torch, on the same folds. Prints the
mean accuracy over the 50 folds with its standard error, and that of the difference, fold by fold.

    python benchmarks/mil_classic.py --data DIR --threads 2

DIR holds MUSK1.mat and, for others of its layout, NAME.mat; MUSK2 as MUSK2_frtsvm_165f.mat with its
bag ids and labels in .npy files (of its 166 features the first was dropped at the source). The
published recipe is that of Ilse et al.: layers of 256, 128 and 64, ReLU, dropout 0.5, attention 64,
SGD with momentum 0.9 and learning rate 5e-4, one bag a step, 100 epochs. Theirs has a weight decay
for each table; ours is one for all, that of MUSK1. `--settings cosine` is that with the learning
rate falling to nought, and `--settings defaults` what a study gets that says nothing.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.sparse import issparse
from torch import Tensor, nn

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
PLAIN_TORCH = "published {}, plain torch"
PUBLISHED_DECAY = {"MUSK1": 5e-3, "MUSK2": 3e-2}
FoldOf = tuple[NDArray[np.bool_], np.random.SeedSequence]
Way = Callable[
    [list[NDArray[np.float32]], NDArray[np.int64], Sequence[FoldOf]], NDArray[np.float64]
]
Table = tuple[list[NDArray[np.float32]], NDArray[np.int64]]


def main() -> None:
    """Train and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", default=["MUSK1", "MUSK2"])
    parser.add_argument(
        "--aggregators",
        nargs="+",
        choices=("attention", "gated_attention"),
        default=["attention", "gated_attention"],
    )
    parser.add_argument("--settings", choices=SETTINGS, default="recipe")
    parser.add_argument("--weight-decay", type=float, help="in place of that of the settings")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--epochs", type=int, help="in place of those of the settings")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    given = {"weight_decay": arguments.weight_decay, "epochs": arguments.epochs}
    changed = {name: value for name, value in given.items() if value is not None}
    print("| table | bags | trained by | accuracy | standard error | minutes |")
    print("|---|---|---|---|---|---|")
    for name in arguments.tables:
        bags, labels = read_table(arguments.data, name)
        dealt_folds = folds_of(len(bags), arguments.repeats)
        ways: dict[str, Way] = {
            aggregator: partial(
                ours, SETTINGS[arguments.settings].at({"aggregator": aggregator, **changed})
            )
            for aggregator in arguments.aggregators
        }
        decay = PUBLISHED_DECAY.get(name, RECIPE.weight_decay)
        for aggregator in arguments.aggregators:
            theirs = PLAIN_TORCH.format(aggregator)
            ways[theirs] = partial(published, decay, aggregator == "gated_attention")
        found = {}
        for title, way in ways.items():
            began = time.monotonic()
            found[title] = way(bags, labels, dealt_folds)
            minutes = (time.monotonic() - began) / 60
            print(
                f"| {name} | {len(bags)} | {title} | {told(found[title])} | {minutes:.1f} |",
                flush=True,
            )
        for title in arguments.aggregators:
            difference = told(found[title] - found[PLAIN_TORCH.format(title)])
            print(f"| {name} | {len(bags)} | {title}, less that | {difference} | |", flush=True)


def told(folds: NDArray[np.float64]) -> str:
    """Mean and its standard error over the folds."""
    return f"{folds.mean():.3f} | {folds.std(ddof=1) / np.sqrt(len(folds)):.3f}"


def folds_of(bags: int, repeats: int) -> list[FoldOf]:
    """Deal the bags anew for each repeat; of each fold who is out, (bags,) bool, and a seed."""
    dealt_folds = []
    for repeat in range(repeats):
        split, *seeds = np.random.SeedSequence(repeat).spawn(FOLDS + 1)
        fold_of = dealt(np.zeros(bags), FOLDS, np.random.default_rng(split))
        dealt_folds += [(fold_of == fold, seed) for fold, seed in enumerate(seeds)]
    return dealt_folds


def ours(
    settings: MilSettings,
    bags: list[NDArray[np.float32]],
    labels: NDArray[np.int64],
    dealt_folds: Sequence[FoldOf],
) -> NDArray[np.float64]:
    """Share of held-out bags that are on the right side of a logit of 0, fold by fold."""
    names = np.array([f"{number}" for number in range(len(bags))])
    with tempfile.TemporaryDirectory() as folder:
        fits = [
            Fit(
                fold=number,
                patients=tuple(names[~out]),
                truth=labels[~out].astype(float),
                held_out=tuple(names[out]),
                held_out_truth=labels[out].astype(float),
                settings=settings,
                seed=seed,
                result=Path(folder) / f"{number}.json",
                weights=None,
            )
            for number, (out, seed) in enumerate(dealt_folds)
        ]
        held = {n: PatientBag(torch.from_numpy(b), {}) for n, b in zip(names, bags, strict=True)}
        run_fits(fits, PatientBags(held, {}, bags[0].shape[1], ""), Path(folder), lambda *_: None)
        logits = [read_result(fit).logits[:, 0] for fit in fits]
    right = [(of > 0) == (fit.held_out_truth == 1) for of, fit in zip(logits, fits, strict=True)]
    return np.array([fold.mean() for fold in right])


class Published(nn.Module):
    """Attention or gated attention as Ilse et al. 2018 describe them for these tables."""

    def __init__(self, width: int, gated: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise([width, *RECIPE.layers, RECIPE.hidden]):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(RECIPE.dropout)]
        self.project = nn.Sequential(*layers)
        self.values = nn.Linear(RECIPE.hidden, RECIPE.attention_width)
        self.gates = nn.Linear(RECIPE.hidden, RECIPE.attention_width) if gated else None
        self.weigh = nn.Linear(RECIPE.attention_width, 1)
        self.classify = nn.Linear(RECIPE.hidden, 1)

    def forward(self, bag: Tensor) -> Tensor:
        """Logit, (), of a bag (N, width)."""
        projected = self.project(bag)
        values = torch.tanh(self.values(projected))
        if self.gates is not None:
            values = values * torch.sigmoid(self.gates(projected))
        attention = torch.softmax(self.weigh(values), dim=0)
        return self.classify(attention.T @ projected).squeeze()


def published(
    weight_decay: float,
    gated: bool,
    bags: list[NDArray[np.float32]],
    labels: NDArray[np.int64],
    dealt_folds: Sequence[FoldOf],
) -> NDArray[np.float64]:
    """Train by the published recipe; features are standardised by the training instances.

    Gives what `ours` gives.
    """
    shares = []
    for out, seed in dealt_folds:
        torch.manual_seed(int(seed.generate_state(1)[0]))
        seen = np.concatenate([bags[i] for i in np.flatnonzero(~out)])
        mean, spread = seen.mean(axis=0), np.maximum(seen.std(axis=0), 1e-4)
        scaled = [torch.from_numpy((bag - mean) / spread) for bag in bags]
        model = Published(seen.shape[1], gated)
        optimiser = torch.optim.SGD(
            model.parameters(), RECIPE.learning_rate, momentum=0.9, weight_decay=weight_decay
        )
        for _ in range(RECIPE.epochs):
            for i in np.flatnonzero(~out)[torch.randperm(int((~out).sum())).numpy()]:
                target = torch.tensor(float(labels[i]))
                loss = nn.functional.binary_cross_entropy_with_logits(model(scaled[i]), target)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        model.eval()
        with torch.inference_mode():
            said = np.array([float(model(scaled[i])) > 0 for i in np.flatnonzero(out)])
        shares.append(float((said == (labels[out] == 1)).mean()))
    return np.array(shares)


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
