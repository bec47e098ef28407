"""A cut-point searched on the patients it is shown on finds an effect where there is none.

Draws studies in which the score has nothing to do with survival, and counts how often the log-rank
test of the external cohort says otherwise: with the cut-point frozen on the development cohort, by
each rule the toolkit has, and with the cut that looks best on the external cohort itself.

    python benchmarks/survival_type1.py --simulations 2000 --patients 100 200 500 --out docs/images
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from survival import CutPointRule, apply_cutpoint, fit_cutpoint, logrank_test
from survival.figure_style import BLUE, GREEN, INK, ORANGE, PALE, PURPLE, SKY
from survival.maximally_selected import p_lausen92

LEVEL = 0.05
BLOCK = 50
HORIZON = 1.0
RULES = {
    "frozen median": CutPointRule(),
    "frozen Youden": CutPointRule(method="youden", endpoint="death", horizon=HORIZON),
    "frozen best cut of the development cohort": CutPointRule(
        method="maximally_selected", endpoint="death"
    ),
}
NAIVE = "best of all cuts, 10 to 90%, uncorrected"
CORRECTED = "the same, p of Lausen & Schumacher"


def main() -> None:
    """Simulate, print a table and draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--patients", type=int, nargs="+", default=[100, 200, 500])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    seeds = np.random.SeedSequence(arguments.seed).spawn(len(arguments.patients))
    lines = []
    for patients, seed in zip(arguments.patients, seeds, strict=True):
        rng = np.random.default_rng(seed)
        ps = pd.DataFrame(list(null_studies(patients, arguments.simulations, rng)))
        lines += [{"path": path, "patients": patients, **share_below(ps[path])} for path in ps]
    table = pd.DataFrame(lines)
    print_table(table)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        for kind in ("svg", "png"):
            draw(table, arguments.out / f"survival_type1.{kind}")


def null_studies(
    patients: int, simulations: int, rng: np.random.Generator
) -> Iterator[dict[str, float]]:
    """P values of each path, study by study; each cohort has `patients`."""
    for start in range(0, simulations, BLOCK):
        count = min(BLOCK, simulations - start)
        score, time, event = cohorts(count, patients, rng)
        largest = best_cut(score, time, event)
        ours, theirs, seen = cohorts(count, patients, rng)
        for row in range(count):
            development = cohort_tables(ours[row], theirs[row], seen[row])
            study = {
                name: external_p(rule, development, score[row], time[row], event[row])
                for name, rule in RULES.items()
            }
            study[NAIVE] = float(chdtrc(1, largest[row] ** 2))
            study[CORRECTED] = p_lausen92(float(largest[row]))
            yield study


def cohorts(
    count: int, patients: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores that mean nothing, times, and events, of which a third are censored (count, n)."""
    shape = (count, patients)
    survival, left = rng.exponential(size=shape), rng.uniform(0.3, 4, size=shape)
    return rng.uniform(size=shape), np.minimum(survival, left), (survival <= left).astype(float)


def cohort_tables(
    score: np.ndarray, time: np.ndarray, event: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions table and outcomes of a development cohort."""
    ids = [f"P{i:04d}" for i in range(len(score))]
    predictions = pd.DataFrame(
        {
            "patient_id": ids,
            "centre": "A",
            "split": "development",
            "score_kind": "oof",
            "score": score,
            "model_digest": "model",
        }
    )
    return predictions, pd.DataFrame({"time": time, "event": event}, index=ids)


def external_p(
    rule: CutPointRule,
    development: tuple[pd.DataFrame, pd.DataFrame],
    score: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
) -> float:
    """P of the external log-rank test at the cut-point that the development cohort gave."""
    predictions, outcomes = development
    cut = fit_cutpoint(predictions, "cohort", rule, outcomes)
    return logrank_test(time, event, apply_cutpoint(score, cut)).p


def best_cut(score: np.ndarray, time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Largest absolute log-rank statistic over cuts of 10 to 90% of patients (count,)."""
    n = score.shape[1]
    order = np.argsort(time, axis=1)
    rank = np.take_along_axis(score.argsort(axis=1).argsort(axis=1), order, axis=1)
    died = np.take_along_axis(event, order, axis=1)[:, :, None]
    low = (rank[:, :, None] < np.arange(n // 10, n - n // 10 + 1)).astype(float)
    at_risk = np.arange(n, 0, -1)[None, :, None]
    share = low[:, ::-1].cumsum(axis=1)[:, ::-1] / at_risk
    surplus = (died * (low - share)).sum(axis=1)
    variance = (died * share * (1 - share)).sum(axis=1)
    return np.abs(surplus / np.sqrt(variance)).max(axis=1)


def share_below(ps: "pd.Series[float]") -> dict[str, float]:
    """Share of p values below the level, with Wilson's 95% interval."""
    n, share, z = len(ps), float((ps < LEVEL).mean()), 1.96
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return {"share": share, "low": centre - half, "high": centre + half}


def print_table(table: pd.DataFrame) -> None:
    """Print type-I errors in percent, a row a path and a column a size of cohort."""
    sizes = table["patients"].unique()
    print("| type-I error at 5%, % (95% CI) | " + " | ".join(f"n = {n}" for n in sizes) + " |")
    print("|---" * (len(sizes) + 1) + "|")
    for path, rows in table.groupby("path", sort=False):
        cells = [
            f"{100 * r.share:.1f} ({100 * r.low:.1f} to {100 * r.high:.1f})"
            for r in rows.itertuples()
        ]
        print(f"| {path} | " + " | ".join(cells) + " |")


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw type-I errors with their intervals; the band is 4 to 6%."""
    from matplotlib.figure import Figure

    paths = list(table["path"].unique())
    sizes = list(table["patients"].unique())
    figure = Figure(figsize=(8, 0.9 + 0.62 * len(paths)), layout="constrained")
    ax = figure.subplots()
    ax.axvspan(4, 6, color=GREEN, alpha=0.2, linewidth=0)
    ax.axvline(5, color=PALE, linewidth=0.8)
    for place, size in enumerate(sizes):
        rows = table[table["patients"] == size].set_index("path").loc[paths]
        y = np.arange(len(paths)) + 0.18 * (place - (len(sizes) - 1) / 2)
        colour = (SKY, BLUE, INK, ORANGE, PURPLE)[place % 5]
        ax.hlines(y, 100 * rows["low"], 100 * rows["high"], color=colour, linewidth=1.6)
        ax.plot(100 * rows["share"], y, "o", color=colour, markersize=5, label=f"n = {size}")
    ax.set(yticks=range(len(paths)), ylim=(len(paths) - 0.5, -0.5), xlim=(0, None))
    ax.set_yticklabels(paths)
    ax.set_xlabel("Studies without any effect that show one at p < 0.05 (%)")
    ax.legend(frameon=False, fontsize=9, loc="upper right")
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
