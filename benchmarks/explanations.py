"""What it costs to check a map, and to make one: CPU-seconds for one patient and one model.

python benchmarks/explanations.py --patches 4000 --dimension 1024
"""

import argparse
import time
import typing

import numpy as np
import pandas as pd
import torch

from cmil.aggregators import build_aggregator
from cmil.explanations.attribution import attribute
from cmil.explanations.faithfulness import counts_to_keep, orders_to_try
from cmil.explanations.prefix_logits import prefix_logits
from cmil.run_record import describe_machine
from cmil.settings import MilSettings


def main() -> None:
    """Print one line for each aggregator, untrained, on one thread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=4000)
    parser.add_argument("--dimension", type=int, default=1024)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = typing.get_args(MilSettings.model_fields["aggregator"].annotation)
    rows = [measure(name, arguments.patches, arguments.dimension) for name in names]
    print(pd.DataFrame(rows).round(2).to_string(index=False))
    print(describe_machine())


def measure(name: str, patches: int, dimension: int) -> dict[str, object]:
    """CPU-seconds of deletion, insertion and random curves, and of an attribution."""
    model = build_aggregator(MilSettings(aggregator=name), dimension)
    model.eval().requires_grad_(False)
    bag = torch.randn(patches, dimension, generator=torch.Generator().manual_seed(0)).half()
    rng = np.random.default_rng(0)
    orders = orders_to_try(rng.random(patches), rng)
    started = time.process_time()
    prefix_logits(model, bag, orders, counts_to_keep(patches))
    between = time.process_time()
    attribute(model, bag, rng)
    ended = time.process_time()
    return {"aggregator": name, "curves": between - started, "attribution": ended - between}


if __name__ == "__main__":
    main()
