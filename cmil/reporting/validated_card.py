"""The model card with what validation found, for whom is handed the model later."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from cmil.model_card import card_text
from cmil.reporting.study_files import StudyFiles
from cmil.reporting.words import intervals, wide

_TOLD = ("intended_use", "objective", "centres", "flow", "shift", "subgroups", "limitations")
_DECIDED = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV"}
_CALIBRATED = {
    "intercept_in_the_large": "intercept in the large",
    "slope": "slope",
    "o_e": "O:E",
    "brier": "Brier",
}


def validated_card(study: StudyFiles, facts: Mapping[str, str]) -> str:
    """Give the card of the bundle, with the performance of each cohort and its limits.

    Parameters
    ----------
    facts
        Of `cmil.reporting.facts.study_facts`.
    """
    found = study.validation.tables
    auc = found.discrimination[found.discrimination["measure"] == "auc"]
    rows = {"cohort": "cohort", "patients": "patients", "positives": "positive"}
    decided = found.decisions[found.decisions["prevalence"].isna()].assign(
        threshold=lambda table: table["threshold_name"] + table["threshold"].map(", {:.3f}".format)
    )
    pooled = found.heterogeneity
    pooled = pooled[pooled["measure"] == "auc"]
    told = [_plain(facts[name]) for name in _TOLD if name in facts]
    parts = [
        "## Validation",
        "\n\n".join(told),
        _table(wide(auc, rows, {"auc": "AUC (95% CI)"})),
        _table(wide(decided, {"cohort": "cohort", "threshold": "threshold"}, _DECIDED, digits=2)),
        _table(wide(found.calibration, {"cohort": "cohort"}, _CALIBRATED)),
    ]
    if len(pooled):
        together = [f"{pooled['centres'].iloc[0]} external centres, AUC {intervals(pooled)[0]}"]
        if pooled["adhoc_ci_high"].iloc[0] > pooled["ci_high"].iloc[0] * (1 + 1e-9):
            limits = pooled[["adhoc_ci_low", "adhoc_ci_high"]].iloc[0]
            together.append("ad hoc interval {:.3f} to {:.3f}".format(*limits))
        together += [text for text in (pooled["method"].iloc[0], pooled["note"].iloc[0]) if text]
        parts.append(f"Pooled: {'; '.join(together)}.")
    opened = [study.opening] if study.opening else []
    return card_text(study.bundle, "\n\n".join([*parts, *opened, f"{study.provenance}."]))


def _table(rows: pd.DataFrame) -> str:
    lines: Iterable[Sequence[str]] = [
        list(rows.columns),
        ["---"] * len(rows.columns),
        *rows.to_numpy().tolist(),
    ]
    return "\n".join(f"| {' | '.join(_plain(text) for text in line)} |" for line in lines)


def _plain(text: str) -> str:
    """Keep what a manifest says from ending a line or a cell, and from being read as markup."""
    plain = " ".join(str(text).split()).replace("\\", "\\\\")
    for sign in "|<>*_[]`":
        plain = plain.replace(sign, f"\\{sign}")
    return plain
