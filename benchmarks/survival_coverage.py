"""How often the 95% intervals of a survival analysis hold the truth.

The score is standard normal, the hazard exponential in it, censoring uniform and independent, so
that half of the patients have the event. True values: the hazard ratio is that of the model;
restricted means are integrals of the true curves, of patients above and below a score of 0; C is
that of a very large sample, Harrell's with this censoring (which it depends on), Uno's without.

    python benchmarks/survival_coverage.py --simulations 4000
"""

import argparse
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from survival import Censoring, harrell_c, hazard_ratio, restricted_mean, uno_c
from survival.concordance import Concordance

SIZES, RATIOS = (60, 94, 205), (1.5, 2.0, 4.0)
EVENTS = 0.5
# Where C and restricted means end, in shares of the longest time under observation.
END = 0.6
LARGE = 40_000

Floats = NDArray[np.float64]


def main() -> None:
    """Simulate, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    lines = []
    seeds = iter(np.random.SeedSequence(arguments.seed).spawn(len(RATIOS) * (len(SIZES) + 1)))
    for ratio in RATIOS:
        study = Study(ratio, np.random.default_rng(next(seeds)))
        for n in SIZES:
            rng = np.random.default_rng(next(seeds))
            held = pd.DataFrame([dict(study.holds(n, rng)) for _ in range(arguments.simulations)])
            share, known = held.mean(), held.notna().sum()
            for name in held:
                error = math.sqrt(share[name] * (1 - share[name]) / known[name])
                told = f"{100 * share[name]:.1f} ({100 * error:.1f})"
                if known[name] < len(held):
                    told += f" of {100 * known[name] / len(held):.1f}%"
                lines.append({"interval": name, "hazard ratio": ratio, "n": n, "percent": told})
    print(f"{arguments.simulations} simulations, {EVENTS:.0%} events; percent, Monte Carlo error\n")
    wide = pd.DataFrame(lines).pivot(index=["interval", "hazard ratio"], columns="n")
    print("| interval | hazard ratio per SD | " + " | ".join(f"n = {n}" for n in SIZES) + " |")
    print("|---" * (len(SIZES) + 2) + "|")
    for (interval, ratio), row in wide.iterrows():
        print(f"| {interval} | {ratio:g} | " + " | ".join(row["percent"]) + " |")


class Study:
    """Patients of one hazard ratio, and what is true of them."""

    def __init__(self, ratio: float, rng: np.random.Generator) -> None:
        self.beta = math.log(ratio)
        self.longest = self._longest()
        self.end = END * self.longest
        self.above, self.below = (self._mean(sign) for sign in (1, -1))
        self.harrell, self.uno = self._concordances(rng)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        """Give score, time until the event, and time until censoring, each (n,)."""
        score = rng.standard_normal(n)
        time = rng.exponential(np.exp(-self.beta * score))
        return score, time, rng.uniform(0, self.longest, n)

    def holds(self, n: int, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
        """Say of each interval of n patients whether it holds the truth; NaN without one."""
        score, of_event, of_censoring = self.draw(n, rng)
        time, event = np.minimum(of_event, of_censoring), of_event <= of_censoring
        ratio = hazard_ratio(time, event, pd.DataFrame({"score": score}))
        yield "hazard ratio per SD, Wald", _holds(ratio.ci_low, math.exp(self.beta), ratio.ci_high)
        for found, truth in (
            (harrell_c(score, time, event), self.harrell),
            (uno_c(score, time, event, Censoring(self.end)), self.uno),
        ):
            yield found.method, _holds(found.ci_low, truth, found.ci_high)
        group = np.where(score > 0, "high", "low")
        contrasts = restricted_mean(time, event, group, tau=self.end, reference="low").contrasts
        row = contrasts[contrasts["measure"] == "RMST difference"].iloc[0]
        truth = self.above - self.below
        yield "RMST difference", _holds(row["ci_low"], truth, row["ci_high"])

    def _longest(self) -> float:
        """Time of the last censoring at which as many have the event as are wanted."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        weights = weights / weights.sum()
        hazard = np.exp(self.beta * nodes)

        def events(longest: float) -> float:
            lasting = -np.expm1(-hazard * longest) / (hazard * longest)
            return float(1 - weights @ lasting)

        return float(brentq(lambda longest: events(longest) - EVENTS, 1e-3, 1e3))

    def _mean(self, sign: int) -> float:
        """Restricted mean of patients whose score has this sign: 2 E[..] over half a normal."""

        def of(score: float) -> float:
            hazard = math.exp(self.beta * score)
            return 2 * float(norm.pdf(score)) * -math.expm1(-hazard * self.end) / hazard

        limits = (0, 12) if sign > 0 else (-12, 0)
        return float(quad(of, *limits)[0])

    def _concordances(self, rng: np.random.Generator) -> tuple[float, float]:
        """Give Harrell's C under this censoring, and Uno's, which knows none."""
        score, of_event, of_censoring = self.draw(LARGE, rng)
        seen = of_event <= of_censoring
        harrell = harrell_c(score, np.minimum(of_event, of_censoring), seen)
        late = of_event >= self.end
        whole: Concordance = harrell_c(score, np.where(late, self.end, of_event), ~late)
        return harrell.value, whole.value


def _holds(low: float, truth: float, high: float) -> float:
    return math.nan if math.isnan(low) else float(low <= truth <= high)


if __name__ == "__main__":
    main()
