"""Results as short tables for a terminal."""

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cmil.task_results_table import task_performance_table, task_validation_text
from cohorts.errors import FileFormatError
from cohorts.random_effects import adhoc_is_wider
from survival.print_numbers import interval_text, p_value

if TYPE_CHECKING:
    from cmil.task_validation import TaskValidation
    from cmil.validation_results import ValidationResults

RESEARCH_USE = "Research use only."
# Curves are left to their files.
_SUMMARIES = (
    *("discrimination", "decisions", "calibration", "comparisons"),
    *("centres", "heterogeneity", "leave_one_out", "subgroups"),
)
_FURTHER = (
    *("risk_coverage_area", "referral", "shift", "stability", "detection_points"),
    *("readers_agreement", "readers_differences", "readers_points", "readers_auc"),
)


def results_table(out: Path, endpoints: Sequence[str]) -> str:
    """Give performance, comparison and, where the study names endpoints, survival as text."""
    parts = [performance_table(_read(out / "validation" / "performance.csv"))]
    parts.append(comparison_table(_read(out / "comparison" / "comparison.csv")))
    if endpoints:
        parts.append(survival_table(out))
    return "\n\n".join([*parts, RESEARCH_USE])


def other_results_table(out: Path) -> str:
    """Give what a study of classes or of an endpoint shows: performance, comparison, maps."""
    from cmil.task_validation import read_task_validation

    performance = task_performance_table(read_task_validation(out / "validation").performance)
    compared = comparison_table(_read(out / "comparison" / "comparison.csv"))
    return f"{performance}\n\n{compared}\n\n{explanations_table(out)}"


def performance_table(performance: pd.DataFrame) -> str:
    """One line a cohort: AUC (DeLong), sensitivity and specificity (Wilson), 95% intervals."""
    lines = [
        {
            "cohort": row["cohort"],
            "patients": f"{row['patients']} ({row['positives']} pos.)",
            "AUC (95% CI)": interval_text(row["auc"], row["auc_ci_low"], row["auc_ci_high"]),
            **{name: _counted(row, name) for name in ("sensitivity", "specificity")},
        }
        for row in performance.to_dict("records")
    ]
    return pd.DataFrame(lines).to_string(index=False, justify="left")


def validation_text(results: "ValidationResults | TaskValidation") -> str:
    """Give the short table, why numbers are missing, and what several centres say together."""
    from cmil.task_validation import TaskValidation

    if isinstance(results, TaskValidation):
        return f"{task_validation_text(results)}\n\n{RESEARCH_USE}"
    pooled = results.tables.heterogeneity
    noted = results.performance[results.performance["note"].fillna("") != ""]
    notes = [f"{row['cohort']}: {row['note']}" for row in noted.to_dict("records")]
    table = "\n".join([performance_table(results.performance), *notes])
    if pooled.empty or results.tables.centres["centre"].nunique() < 2:
        return f"{table}\n\n{RESEARCH_USE}"
    auc = pooled[pooled["measure"] == "auc"].to_dict("records")[0]
    together = interval_text(auc["value"], auc["ci_low"], auc["ci_high"])
    centres = "centre" if auc["centres"] == 1 else "centres"
    line = f"AUC over {auc['centres']} external {centres}: {together}"
    if adhoc_is_wider(auc):
        line += f", ad hoc {auc['adhoc_ci_low']:.2f} to {auc['adhoc_ci_high']:.2f}"
    if not math.isnan(auc["prediction_low"]):
        line += f", of another centre {auc['prediction_low']:.2f} to {auc['prediction_high']:.2f}"
    if not math.isnan(auc["i2"]):
        line += f", I2 {auc['i2']:.0f}%"
    note = f" ({auc['note']})" if auc["note"] else ""
    return f"{table}\n\n{line}; {auc['method']}{note}\n\n{RESEARCH_USE}"


def recalibration_text(table: pd.DataFrame) -> str:
    """One line a cohort and step of recalibration, of `cmil.protocol.recalibration`."""
    lines = [
        {
            "cohort": row["cohort"],
            "recalibration": row["recalibration"],
            **{
                name: "-"
                if math.isnan(row[name])
                else interval_text(row[name], row[f"{name}_ci_low"], row[f"{name}_ci_high"])
                for name in ("intercept", "slope")
            },
            "mean score": _number(row["mean_score"]),
            "observed": _number(row["observed"]),
            "Brier (95% CI)": interval_text(
                row["brier"], row["brier_ci_low"], row["brier_ci_high"], "z.3f"
            ),
        }
        for row in table.to_dict("records")
    ]
    shown = pd.DataFrame(lines).to_string(index=False, justify="left")
    reasons = sorted({str(note) for note in table["note"] if note})
    return "\n\n".join([shown, *reasons, RESEARCH_USE])


def validation_json(results: "ValidationResults | TaskValidation") -> str:
    """Give every table but the curves, each as a list of rows, as JSON."""
    from cmil.task_validation import TaskValidation

    if isinstance(results, TaskValidation):
        tables = dict(vars(results))
    else:
        tables = {name: getattr(results.tables, name) for name in _SUMMARIES}
        tables |= {name: getattr(results, name) for name in _FURTHER}
        tables = {"performance": results.performance, **tables}
        if results.detection is not None:
            from cmil.validation_results import detection_row

            tables["detection"] = detection_row(results.detection)
    return json.dumps(
        {
            name: json.loads(table.to_json(orient="records", double_precision=15))
            for name, table in tables.items()
            if table is not None
        },
        ensure_ascii=False,
    )


def comparison_table(comparison: pd.DataFrame) -> str:
    """One line a model: AUC, and the paired difference to the study's model (DeLong, Holm).

    Of the widest external cohort, which comes last, or else of the development patients. Of
    classes and of an endpoint the mean AUC or the concordance stands for the AUC, and why a number
    is missing or doubtful stands below.
    """
    from cmil.comparison.compare import with_measure

    table = with_measure(comparison)
    cohort, measure = table["cohort"].iloc[-1], table["measure"].iloc[0]
    here = table[table["cohort"] == cohort]
    lines = [
        {
            f"compared in {cohort}": row["model"],
            f"{measure} (95% CI)": interval_text(row["value"], row["ci_low"], row["ci_high"]),
            "model better by": "(the model)"
            if row["role"] == "model"
            else interval_text(
                row["difference"], row["difference_ci_low"], row["difference_ci_high"], "+z.2f"
            ),
            "p (Holm)": "-" if row["role"] == "model" else p_value(row["p_holm"]),
        }
        for row in here.to_dict("records")
    ]
    printed = pd.DataFrame(lines).to_string(index=False, justify="left")
    notes = here["note"].fillna("").unique() if "measure" in comparison else []
    return "\n".join([printed, *(note for note in notes if note)])


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
            f"HR {row['term']}": interval_text(row["hr"], row["ci_low"], row["ci_high"])
            for row in here.to_dict("records")
        }
        p = {"log-rank p": p_value(test["p"])}
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
            "mean (95% CI)": interval_text(row["mean"], row["ci_low"], row["ci_high"]),
            "by chance": row["by_chance"],
        }
        for row in worth[worth["patients_of"] == "all patients"].to_dict("records")
    ]
    measures = [
        {
            "measure": row["measure"],
            "patients": row["patients"],
            "difference in SD (95% CI)": interval_text(
                row["difference"], row["ci_low"], row["ci_high"]
            ),
            "adjusted p": p_value(row["p_adjusted"]),
        }
        for row in looks.to_dict("records")
    ]
    parts = [
        pd.DataFrame(part).to_string(index=False, justify="left") for part in (lines, measures)
    ]
    return "\n\n".join([*parts, f"Attention is not a probability. {RESEARCH_USE}"])


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


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _counted(row: Mapping[Hashable, Any], name: str) -> str:
    if not row[f"{name}_n"]:
        return "-"
    interval = interval_text(row[name], row[f"{name}_ci_low"], row[f"{name}_ci_high"])
    return f"{row[f'{name}_k']}/{row[f'{name}_n']} {interval}"
