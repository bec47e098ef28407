"""How often a comparison of classes or of an endpoint tells two equal models apart at 5%.

Both models score the same patients of one centre by the same signal and noise of its own, half of
whose variance they share: the true difference is 0. Of an endpoint, times are exponential with the
signal as log hazard, and observation ends with the given number of events; of three classes, two
have the given number of patients. Without signal both models are at chance.

    python benchmarks/comparison_level.py --simulations 400
"""

import argparse

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cmil.comparison.compare_by_bootstrap import compare_by_bootstrap

# Patients, and those with the event or of each of the last two classes.
SIZES = ((60, 30), (60, 20), (36, 12), (30, 12), (30, 7))


def noises(shape: tuple[int, ...], random: np.random.Generator) -> list[NDArray[np.float64]]:
    """Noise of two models, of variance 1 and correlated by one half."""
    shared = random.normal(size=shape)
    return [(shared + random.normal(size=shape)) / np.sqrt(2) for _ in range(2)]


def of_endpoint(n: int, events: int, signal: float, random: np.random.Generator) -> pd.DataFrame:
    """Two models of an endpoint, of one cohort."""
    risk = random.normal(size=n)
    time = random.exponential(np.exp(-risk))
    end = np.sort(time)[events - 1]
    known = pd.DataFrame({"time": np.minimum(time, end), "event": (time <= end).astype(float)})
    return _both([known.assign(risk=signal * risk + noise) for noise in noises((n,), random)])


def of_classes(n: int, each: int, signal: float, random: np.random.Generator) -> pd.DataFrame:
    """Two models of three classes, of one cohort."""
    label = np.repeat([0, 1, 2], [n - 2 * each, each, each])
    tables = []
    for noise in noises((n, 3), random):
        likely = np.exp(noise + signal * np.eye(3)[label])
        scores = likely / likely.sum(axis=1, keepdims=True)
        table = pd.DataFrame({"label": label})
        tables.append(table.assign(**{f"score_{k}": scores[:, k] for k in range(3)}))
    return _both(tables)


def _both(tables: list[pd.DataFrame]) -> pd.DataFrame:
    same = {"centre": "A", "split": "external", "score_kind": "external", "model_digest": ""}
    roles = ("model", "baseline")
    return pd.concat(
        [
            table.assign(patient_id=[f"P{i:03d}" for i in range(len(table))], **same).assign(
                model=role, role=role
            )
            for role, table in zip(roles, tables, strict=True)
        ],
        ignore_index=True,
    )


def main() -> None:
    """Print one line a kind of cohort."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("learnt     patients  fewest  signal  mean value  rejected  interval holds 0")
    for name, draw in (("endpoint", of_endpoint), ("classes", of_classes)):
        for n, fewest in SIZES:
            if name == "classes" and 3 * fewest > n:
                continue
            for signal in (0.0, 1.0):
                random = np.random.default_rng([given.seed, n, fewest])
                seeds = np.random.SeedSequence(given.seed).spawn(given.simulations)
                rows = [compare_by_bootstrap(draw(n, fewest, signal, random), s) for s in seeds]
                other = pd.DataFrame([row.iloc[1] for row in rows])
                held = (other["difference_ci_low"] <= 0) & (other["difference_ci_high"] >= 0)
                print(
                    f"{name:9}  {n:8}  {fewest:6}  {signal:6}  {other['value'].mean():10.3f}  "
                    f"{(other['p'] <= 0.05).mean():8.3f}  {held.mean():16.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
