"""Results as short tables for a terminal."""

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cohorts.errors import FileFormatError


def results_table(out: Path, endpoints: Sequence[str]) -> str:
    """Give performance, comparison and, where the study names endpoints, survival as text."""
    parts = [performance_table(_read(out / "validation" / "performance.csv"))]
    parts.append(comparison_table(_read(out / "comparison" / "comparison.csv")))
    if endpoints:
        parts.append(survival_table(out))
    return "\n\n".join([*parts, "Research use only."])


def performance_table(performance: pd.DataFrame) -> str:
    """One line a cohort: AUC (DeLong), sensitivity and specificity (Wilson), 95% intervals."""
    lines = [
        {
            "cohort": row["cohort"],
            "patients": f"{row['patients']} ({row['positives']} pos.)",
            "AUC (95% CI)": _interval(row["auc"], row["auc_ci_low"], row["auc_ci_high"]),
            **{name: _counted(row, name) for name in ("sensitivity", "specificity")},
        }
        for row in performance.to_dict("records")
    ]
    return pd.DataFrame(lines).to_string(index=False, justify="left")


def comparison_table(comparison: pd.DataFrame) -> str:
    """One line a model: AUC, and the paired difference to the study's model (DeLong, Holm).

    Of the widest external cohort, which comes last, or else of the development patients.
    """
    cohort = comparison["cohort"].iloc[-1]
    lines = [
        {
            f"compared in {cohort}": row["model"],
            "AUC (95% CI)": _interval(row["auc"], row["auc_ci_low"], row["auc_ci_high"]),
            "model better by": "(the model)"
            if row["role"] == "model"
            else _signed(row["difference"], row["difference_ci_low"], row["difference_ci_high"]),
            "p (Holm)": _p_value(row["p_holm"]),
        }
        for row in comparison[comparison["cohort"] == cohort].to_dict("records")
    ]
    return pd.DataFrame(lines).to_string(index=False, justify="left")


def survival_table(out: Path) -> str:
    """One line a cohort and endpoint: log-rank p and the hazard ratios."""
    logrank = _read(out / "survival" / "logrank.csv")
    cox = _read(out / "survival" / "cox.csv")
    crude = cox[cox["adjusted_for"].isna() | (cox["adjusted_for"] == "")]
    lines = []
    for test in logrank.to_dict("records"):
        here = crude[
            (crude["endpoint"] == test["endpoint"]) & (crude["stratum"] == test["stratum"])
        ]
        ratios = {
            f"HR {row['term']}": _interval(row["hr"], row["ci_low"], row["ci_high"])
            for row in here.to_dict("records")
        }
        p = {"log-rank p": _p_value(test["p"])}
        lines.append({"endpoint": test["endpoint"], "cohort": test["stratum"], **p, **ratios})
    stamp = f"{logrank['analysis'].iloc[0]}\n" if "analysis" in logrank else ""
    return stamp + pd.DataFrame(lines).to_string(index=False, justify="left")


def explanations_table(out: Path) -> str:
    """Give what the maps are worth over all patients, and what the map that is shown looks at."""
    folder = out / "explanations"
    worth, looks = _read(folder / "summary.csv"), _read(folder / "enrichment.csv")
    lines = [
        {
            "map": row["map"],
            "measure": row["measure"],
            "patients": row["patients"],
            "mean (95% CI)": _interval(row["mean"], row["ci_low"], row["ci_high"]),
            "by chance": row["by_chance"],
        }
        for row in worth[worth["patients_of"] == "all patients"].to_dict("records")
    ]
    measures = [
        {
            "measure": row["measure"],
            "patients": row["patients"],
            "difference in SD (95% CI)": _interval(
                row["difference"], row["ci_low"], row["ci_high"]
            ),
            "adjusted p": _p_value(row["p_adjusted"]),
        }
        for row in looks.to_dict("records")
    ]
    parts = [
        pd.DataFrame(part).to_string(index=False, justify="left") for part in (lines, measures)
    ]
    return "\n\n".join([*parts, "Attention is not a probability. Research use only."])


def survival_json(out: Path) -> str:
    """Cut-point, log-rank tests and hazard ratios as JSON."""
    folder = out / "survival"
    tables = {
        name: json.loads(_read(folder / f"{name}.csv").to_json(orient="records"))
        for name in ("logrank", "cox", "medians")
    }
    # An exploratory analysis has no lock.
    kept = [folder / name for name in ("cutpoint.json", "cutpoint-exploratory.json")]
    path = next((path for path in kept if path.exists()), kept[0])
    cutpoint = json.loads(path.read_text(encoding="utf-8"))
    return json.dumps({"cutpoint": cutpoint, **tables})


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise FileFormatError(f'"{path}" does not exist; run the stage that writes it')
    # Only an empty field is missing: a centre may well be called "NA".
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def _interval(value: float, low: float, high: float) -> str:
    if value is None or math.isnan(value):
        return "not estimable"
    if not low < high:
        return f"{value:.2f} (interval not estimable)"
    return f"{value:.2f} ({low:.2f}-{high:.2f})"


def _signed(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "not estimable"
    if math.isnan(low):
        return f"{value:+.2f} (interval not estimable)"
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


def _counted(row: Mapping[Hashable, Any], name: str) -> str:
    if not row[f"{name}_n"]:
        return "-"
    interval = _interval(row[name], row[f"{name}_ci_low"], row[f"{name}_ci_high"])
    return f"{row[f'{name}_k']}/{row[f'{name}_n']} {interval}"


def _p_value(p: float) -> str:
    if math.isnan(p):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"
