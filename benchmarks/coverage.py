"""How often 95% intervals hold the truth, and how often tests at 5% reject what is true.

Scores are binormal: standard normal in patients without the outcome, shifted in those with it so
that the AUC is as stated; labels are drawn at the stated prevalence, so their numbers vary.
Calibration, Brier and net benefit are of true probabilities, normal on the logit scale. Centres
have 60, 94, 205, 60 and 94 patients; their AUCs vary on the logit scale, standard deviation tau.
Wilson and Clopper-Pearson are not simulated but summed over the binomial distribution.

    python benchmarks/coverage.py --simulations 4000 --samples 1000
    python benchmarks/coverage.py --simulations 100 --samples 100
"""

import argparse
import math
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import binom, chi2, norm, t

from cmil.validation.auc_difference import auc_difference, unpaired_auc_difference
from cmil.validation.bootstrap import patient_weights
from cmil.validation.calibration_curve import logits_of
from cmil.validation.calibration_measures import brier_score, observed_over_expected
from cmil.validation.decision_curve import net_benefit
from cmil.validation.decisions import Proportion, clopper_pearson, wilson
from cmil.validation.discrimination import auc_delong, estimate_auc
from cmil.validation.estimate import Z
from cmil.validation.heterogeneity import logit_auc
from cmil.validation.logistic import fit_logistic
from cmil.validation.roc_samples import area, roc_samples
from cmil.validation.subgroups import auc_interaction, share_interaction
from cohorts.random_effects import tau2_reml
from cohorts.random_effects import weighted_mean as pooled_mean

SIZES, AUCS = (60, 94, 205), (0.8, 0.9)
CENTRES, TAUS = (60, 94, 205, 60, 94), (0.0, 0.3)
FEWEST = 5
THRESHOLD = 0.3

Row = tuple[str, str, float, int]
Sample = tuple[NDArray[np.float64], NDArray[np.int64]]


def shift_of(auc: float) -> float:
    """Distance of the two normal distributions."""
    return math.sqrt(2) * float(norm.ppf(auc))


def draw_labels(n: int, prevalence: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Labels, drawn again until there are five of each: below that nothing is estimated."""
    while True:
        labels = (random.random(n) < prevalence).astype(np.int64)
        if FEWEST <= labels.sum() <= n - FEWEST:
            return labels


def draw(n: int, auc: float, prevalence: float, random: np.random.Generator) -> Sample:
    """Scores and labels of one cohort."""
    labels = draw_labels(n, prevalence, random)
    return random.normal(size=n) + shift_of(auc) * labels, labels


def of_auc(
    n: int, auc: float, prevalence: float, repeats: tuple[int, int], random: np.random.Generator
) -> Iterator[Row]:
    """Coverage of every interval of the AUC."""
    held: dict[str, list[bool]] = {}
    for _ in range(repeats[0]):
        scores, labels = draw(n, auc, prevalence, random)
        weights = patient_weights(pd.DataFrame({"label": labels}), repeats[1], random)
        found = auc_delong(scores, labels)
        ruled = estimate_auc(scores, labels, weights)
        limits = {
            "as reported": (ruled.ci_low, ruled.ci_high),
            "DeLong, normal": (found.ci_low, found.ci_high),
            "bootstrap, percentiles": tuple(
                np.quantile(area(roc_samples(scores, labels, weights)), [0.025, 0.975])
            ),
        }
        for name, (low, high) in limits.items():
            held.setdefault(name, []).append(low <= auc <= high)
    for name, hits in held.items():
        yield f"AUC {auc}: {name}", f"n = {n}", float(np.mean(hits)), len(hits)


def of_shares(n: int, share: float, prevalence: float) -> Iterator[Row]:
    """Exact coverage for a sensitivity, over the distribution of the number of patients."""
    sizes = np.arange(FEWEST, n + 1)
    likely = binom.pmf(sizes, n, prevalence)
    intervals: dict[str, Callable[[int, int], Proportion]] = {
        "Wilson": wilson,
        "Clopper-Pearson": clopper_pearson,
    }
    for name, interval in intervals.items():
        covered = 0.0
        for size, weight in zip(sizes, likely, strict=True):
            if weight < 1e-6:
                continue
            found = [interval(k, int(size)) for k in range(size + 1)]
            inside = [one.ci_low <= share <= one.ci_high for one in found]
            covered += weight * binom.pmf(np.arange(size + 1), size, share)[inside].sum()
        row = f"{name}, sensitivity {share}"
        yield row, f"n = {n}", float(covered / likely[likely >= 1e-6].sum()), 0


def of_calibration(n: int, repeats: tuple[int, int], random: np.random.Generator) -> Iterator[Row]:
    """Coverage of level, slope, O:E, Brier and net benefit of scores that are right."""
    many = expit(random.normal(-0.7, 1.4, 400_000))
    brier = float((many * (1 - many)).mean())
    acted = many >= THRESHOLD
    odds = THRESHOLD / (1 - THRESHOLD)
    benefit = float((many[acted] - odds * (1 - many[acted])).sum() / len(many))
    held: dict[str, list[bool]] = {}
    for _ in range(repeats[0]):
        p = expit(random.normal(-0.7, 1.4, n))
        y = (random.random(n) < p).astype(np.int64)
        if not FEWEST <= y.sum() <= n - FEWEST:
            continue
        level = fit_logistic(np.ones((n, 1)), y, offset=logits_of(p))
        slope = fit_logistic(np.column_stack([np.ones(n), logits_of(p)]), y)
        ratio = observed_over_expected(p, y)
        weights = patient_weights(pd.DataFrame({"c": np.zeros(n)}), repeats[1], random)
        quantiles = [0.025, 0.975]
        error = brier_score(p, y)
        worth = np.quantile(net_benefit(p, y, [THRESHOLD], weights), quantiles)
        hits = {
            "intercept in the large, Wald": _wald_holds(
                level.coefficients[0, 0], level.covariance[0, 0, 0], 0
            ),
            "calibration slope, Wald": _wald_holds(
                slope.coefficients[0, 1], slope.covariance[0, 1, 1], 1
            ),
            "O:E": ratio.ci_low <= 1 <= ratio.ci_high,
            "Brier": error.ci_low <= brier <= error.ci_high,
            f"net benefit at {THRESHOLD}, bootstrap": bool(worth[0] <= benefit <= worth[1]),
        }
        for name, hit in hits.items():
            held.setdefault(name, []).append(hit)
    for name, of in held.items():
        yield name, f"n = {n}", float(np.mean(of)), len(of)


def _wald_holds(value: float, variance: float, truth: float) -> bool:
    return bool(abs(value - truth) <= Z * math.sqrt(variance))


def of_centres(
    auc: float, tau: float, prevalence: float, simulations: int, random: np.random.Generator
) -> Iterator[Row]:
    """Coverage of the pooled AUC, of a new centre's, and how often Q rejects."""
    k = len(CENTRES)
    truth = logit(auc) + tau * random.normal(size=(simulations, k + 1))
    y, v = np.empty((simulations, k)), np.empty((simulations, k))
    for i in range(simulations):
        for j, n in enumerate(CENTRES):
            found = logit_auc(*draw(n, float(expit(truth[i, j])), prevalence, random))
            y[i, j], v[i, j] = found.value, found.variance
    tau2 = tau2_reml(y, v)
    mean, se, scale = pooled_mean(y, v, tau2)
    half = t.ppf(0.975, k - 1) * se
    error = np.abs(mean - logit(auc))
    spread = t.ppf(0.975, k - 2) * np.sqrt(tau2 + se**2 * scale)
    q = pooled_mean(y, v, np.zeros(simulations))[2] * (k - 1)
    where = f"{k} centres, tau = {tau}"
    covered = {
        "pooled, REML and Hartung-Knapp": error <= half * np.sqrt(scale),
        "pooled, REML and Hartung-Knapp ad hoc": error <= half * np.sqrt(np.maximum(1, scale)),
        "pooled, REML and Wald": error <= Z * se,
        "prediction interval": np.abs(mean - truth[:, k]) <= spread,
    }
    for name, hits in covered.items():
        yield f"{name}, AUC {auc}", where, float(hits.mean()), simulations
    if tau == 0:
        rejected = float((chi2.sf(q, k - 1) < 0.05).mean())
        yield f"type I: Cochran's Q, AUC {auc}", where, rejected, simulations


def of_tests(
    n: int, auc: float, prevalence: float, simulations: int, random: np.random.Generator
) -> Iterator[Row]:
    """How often a test at 5% rejects where nothing differs."""
    p: dict[str, list[float]] = {}
    for _ in range(simulations):
        labels = draw_labels(n, prevalence, random)
        common = random.normal(size=n)
        one, other = (
            (common + random.normal(size=n)) / math.sqrt(2) + shift_of(auc) * labels
            for _ in range(2)
        )
        found = {"DeLong, paired": auc_difference(one, other, labels).p}
        first, second = draw(n, auc, prevalence, random), draw(n, auc, prevalence, random)
        found["DeLong, unpaired"] = unpaired_auc_difference(*first, *second).p
        parts = [draw(n, auc, prevalence, random) for _ in range(3)]
        found["AUC of 3 subgroups of n"] = auc_interaction(
            [scores for scores, _ in parts], [labels for _, labels in parts]
        )
        shares = [
            wilson(int(((scores >= 0.5) & (labels == 1)).sum()), int(labels.sum()))
            for scores, labels in parts
        ]
        found["sensitivity of 3 subgroups of n"] = share_interaction(shares)
        for name, value in found.items():
            p.setdefault(name, []).append(value)
    for name, values in p.items():
        known = np.array(values)[~np.isnan(values)]
        share = float((known < 0.05).mean())
        yield f"type I: {name}, AUC {auc}", f"n = {n}", share, len(known)


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=500, help="bootstrap samples of each")
    parser.add_argument("--prevalence", type=float, default=0.35)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    random = np.random.default_rng(asked.seed)
    repeats, prevalence = (asked.simulations, asked.samples), asked.prevalence
    rows: list[Row] = []
    for n in SIZES:
        rows += of_calibration(n, repeats, random)
        for auc in AUCS:
            rows += of_auc(n, auc, prevalence, repeats, random)
            rows += of_shares(n, auc, prevalence)
            rows += of_tests(n, auc, prevalence, asked.simulations, random)
    for auc in AUCS:
        for tau in TAUS:
            rows += of_centres(auc, tau, prevalence, asked.simulations, random)
    table: dict[str, dict[str, str]] = {}
    for name, where, share, simulations in rows:
        error = 100 * math.sqrt(share * (1 - share) / simulations) if simulations else 0.0
        said = f"{100 * share:.1f} ({error:.1f})" if simulations else f"{100 * share:.1f}"
        table.setdefault(name, {})[where] = said
    columns = [*dict.fromkeys(where for _, where, _, _ in rows)]
    print(f"Prevalence {prevalence}, {repeats[0]} simulations, {repeats[1]} bootstrap samples; ")
    print("percent, Monte Carlo standard error in brackets.\n")
    print("| | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for name in sorted(table, key=lambda name: name.startswith("type I")):
        print(f"| {name} | " + " | ".join(table[name].get(c, "") for c in columns) + " |")


if __name__ == "__main__":
    main()
