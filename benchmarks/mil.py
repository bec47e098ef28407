"""What training costs, against CLAM's way and torchmil, at what accuracy.

Bags of random numbers of width 1,024; in those of positive patients one instance in 20 is moved.
All contenders train on the same patients, in turn, in one process: ours through `fit_aggregator`,
bags in memory in float16; CLAM's way with one bag a step, read in float32 from its own layout each
time; torchmil 1.0.2, where it can be imported, one bag a step in memory in float32. The AUC is that
of as many patients not seen. Memory is the highest above what was there before the training.

    python benchmarks/mil.py --instances 100 1000 10000 100000
"""

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from cmil.run_record import describe_machine
from cmil.settings import MilSettings
from cmil.training.fitting import fit_aggregator
from cmil.validation.discrimination import auc_delong

WIDTH = 1024
# The network of CLAM's "small" size; ours of the same size, and as it comes.
SAME = {"hidden": 512, "attention_width": 256, "dropout": 0.25}

Score = Callable[[Tensor], float]


@dataclass(frozen=True)
class Patients:
    """Toy patients, in memory in float16 and on disk as CLAM lays bags out."""

    bags: Sequence[Tensor]
    labels: Sequence[int]
    paths: Sequence[Path]


@dataclass
class Cost:
    """What one contender took, run by run: seconds an epoch, and memory above the start."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    auc: list[float] = field(default_factory=list)


def main() -> None:
    """Compare at every size of bags, and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", nargs="+", type=int, default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--patients", type=int, default=40, help="to train on, at most")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="those whose name starts so, as gated")
    parser.add_argument("--folder", type=Path, help="where to write; without it, a temporary one")
    arguments = parser.parse_args()
    print(describe_machine())
    peak = matrix_product_peak()
    print(f"matrix products: {peak / 1e9:.0f} GFLOP a CPU-second in float32\n")
    with tempfile.TemporaryDirectory() as folder:  # the first optimiser loads much of torch
        clams_way(drawn(2, 10, Path(folder) / "first"), epochs=1)
    for instances in arguments.instances:
        # 100,000 x 1,024 in float32 are 410 MB a patient, on disk.
        patients = max(2, min(arguments.patients, 200_000 // instances))
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            compare_training(
                [drawn(patients, instances, Path(folder) / part) for part in ("seen", "new")],
                arguments.epochs,
                arguments.repeats,
                peak,
                arguments.only,
            )


def drawn(patients: int, instances: int, folder: Path) -> Patients:
    """Draw patients, every other one positive, and write their bags in CLAM's layout."""
    rng = np.random.default_rng(instances + len(folder.name))
    folder.mkdir()
    bags, labels, paths = [], [], []
    for number in range(patients):
        values = rng.standard_normal((instances, WIDTH), dtype=np.float32)
        label = number % 2
        if label:
            values[rng.choice(instances, -(-instances // 20), replace=False), :32] += 1
        path = folder / f"{number}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("features", data=values, chunks=(min(32, instances), WIDTH))
        bags.append(torch.from_numpy(values).half())
        labels.append(label)
        paths.append(path)
    return Patients(bags, labels, paths)


def compare_training(
    parts: Sequence[Patients], epochs: int, repeats: int, peak: float, only: str
) -> None:
    """Train every contender in turn, several times, and print medians."""
    seen, new = parts
    instances = len(seen.bags[0])
    contenders = {
        "gated, CLAM's way": partial(clams_way, seen, epochs),
        "gated, torchmil": partial(torchmils, "ABMIL", seen, epochs),
        "gated, ours, same network": partial(ours, "gated_attention", SAME, seen, epochs),
        "gated, ours, as it comes": partial(ours, "gated_attention", {}, seen, epochs),
        "TransMIL, torchmil": partial(torchmils, "TransMIL", seen, epochs),
        "TransMIL, ours, same width": partial(ours, "trans_mil", SAME, seen, epochs),
        "TransMIL, ours, as it comes": partial(ours, "trans_mil", {}, seen, epochs),
    }
    if importlib.util.find_spec("torchmil") is None:
        print("torchmil cannot be imported: without it")
        contenders = {name: run for name, run in contenders.items() if "torchmil" not in name}
    contenders = {name: run for name, run in contenders.items() if name.startswith(only)}
    costs = {name: Cost() for name in contenders}
    for _ in range(repeats):
        for name, train in contenders.items():
            measure(costs[name], train, epochs, new)
    print(f"{len(seen.bags)} patients of {instances} instances, {epochs} epochs")
    print("| network | CPU-s an epoch | s an epoch | extra MB | share of peak | AUC |")
    print("|---|---|---|---|---|---|")
    for name, cost in costs.items():
        cpu = median(cost.cpu)
        work = operations(instances) * len(seen.bags)
        known = name.startswith("gated") and "as it comes" not in name
        share = f"{work / cpu / peak:.0%}" if known else ""
        print(
            f"| {name} | {cpu:.2f} | {median(cost.wall):.2f} | {max(cost.megabytes):.0f} | "
            f"{share} | {median(cost.auc):.3f} |",
            flush=True,
        )
    print()


def measure(cost: Cost, train: Callable[[], Score], epochs: int, new: Patients) -> None:
    """Train once, note what it took, and how well patients not seen are told apart."""
    before = resident_megabytes("VmRSS")
    forget_peak()
    cpu, wall = time.process_time(), time.perf_counter()
    score = train()
    cost.cpu.append((time.process_time() - cpu) / epochs)
    cost.wall.append((time.perf_counter() - wall) / epochs)
    cost.megabytes.append(resident_megabytes("VmHWM") - before)
    cost.auc.append(auc_delong([score(bag) for bag in new.bags], new.labels).value)


def ours(aggregator: str, network: dict[str, float], seen: Patients, epochs: int) -> Score:
    """Train whole bags through the project's own loop."""
    instances = len(seen.bags[0])
    chosen = MilSettings.model_validate(
        {
            **network,
            "aggregator": aggregator,
            "epochs": epochs,
            "instances_per_bag": instances,
            "bags_per_step": 8 if instances <= 1000 else 1,
        }
    )
    model = fit_aggregator(seen.bags, seen.labels, chosen, np.random.SeedSequence(0))
    return lambda bag: model.score(bag).logit


class GatedAttention(nn.Module):
    """Clean-room gated attention of CLAM's small size, as Lu et al. 2021 describe it."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(WIDTH, 512), nn.ReLU(), nn.Dropout(0.25))
        self.values, self.gates = nn.Linear(512, 256), nn.Linear(512, 256)
        self.weigh, self.classify = nn.Linear(256, 1), nn.Linear(512, 2)

    def forward(self, bag: Tensor) -> Tensor:
        """Logits (1, 2) of a bag (N, WIDTH)."""
        projected = self.project(bag)
        gated = torch.tanh(self.values(projected)) * torch.sigmoid(self.gates(projected))
        attention = torch.softmax(self.weigh(gated).T, dim=1)
        return self.classify(attention @ projected)


def clams_way(seen: Patients, epochs: int) -> Score:
    """One bag a step in float32, read from disk each time; Adam."""
    torch.manual_seed(0)
    model = GatedAttention()
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-4, weight_decay=1e-5)
    model.train()
    for _ in range(epochs):
        for path, label in zip(seen.paths, seen.labels, strict=True):
            with h5py.File(path) as file:
                bag = torch.from_numpy(file["features"][:])
            loss = nn.functional.cross_entropy(model(bag), torch.tensor([label]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.eval()

    def score(bag: Tensor) -> float:
        with torch.inference_mode():
            return float(model(bag.float()).diff())

    return score


def torchmils(name: str, seen: Patients, epochs: int) -> Score:
    """One bag a step from memory, in float32; Adam."""
    from torchmil.models import ABMIL, TransMIL

    torch.manual_seed(0)
    if name == "ABMIL":
        projection = nn.Sequential(nn.Linear(WIDTH, 512), nn.ReLU(), nn.Dropout(0.25))
        model = ABMIL((WIDTH,), att_dim=256, gated=True, feat_ext=projection)
    else:
        model = TransMIL((WIDTH,), att_dim=512, n_heads=8)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-4, weight_decay=1e-5)
    model.train()
    for _ in range(epochs):
        for bag, label in zip(seen.bags, seen.labels, strict=True):
            _, losses = model.compute_loss(torch.tensor([float(label)]), bag.float()[None])
            optimiser.zero_grad()
            sum(losses.values()).backward()
            optimiser.step()
    model.eval()

    def score(bag: Tensor) -> float:
        with torch.inference_mode():
            return float(model(bag.float()[None]))

    return score


def operations(instances: int) -> float:
    """Multiplications and additions of a step of gated attention at CLAM's size.

    Forward once; backward once for the projection, whose input has no gradient, twice for the rest.
    """
    return 2.0 * instances * (2 * WIDTH * 512 + 3 * 512 * 2 * 256)


def matrix_product_peak() -> float:
    """Operations a CPU-second of a plain product of the projection's shape, the best of ten."""
    left, right = torch.randn(4096, WIDTH), torch.randn(WIDTH, 512)
    times = []
    for _ in range(10):
        start = time.process_time()
        for _ in range(4):
            left @ right
        times.append(time.process_time() - start)
    return 4 * 2.0 * left.numel() * 512 / min(times)


def resident_megabytes(what: str) -> float:
    """Read what Linux keeps of this process: VmRSS now, VmHWM at its highest."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1000
    return float("nan")


def forget_peak() -> None:
    """Let VmHWM start again from what is there now."""
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
