"""Audits of a cohort's table: patients across splits, label and centre, what is missing, follow-up.

Each takes the patients (indexed by id, with `centre, split, label` and outcomes) and gives findings
and, where there are numbers, their table.
"""

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from math import isnan
from typing import Any

import pandas as pd

from cmil.protocol.confounding import cramers_v
from cmil.protocol.findings import Finding, named
from cohorts.endpoints import Endpoint
from survival.curves import median_follow_up

MISSING_SHARE = 0.2
FEWEST_EVENTS = 10
_LABELS = "label and centre"
_ROLES = frozenset({"centre", "split", "label"})


def audit_ids(patients: pd.DataFrame) -> list[Finding]:
    """Find ids of both splits that differ in signs, case and leading zeros only."""
    spelt: dict[str, list[str]] = {}
    for patient in map(str, patients.index):
        spelt.setdefault(_bare(patient), []).append(patient)
    split = patients["split"]
    found = [
        Finding(
            "warning",
            "splits",
            f"patients {named(ids)} have nearly the same id and are in both splits; if they are "
            "one patient, the external result knows the answer",
        )
        for ids in spelt.values()
        if len(ids) > 1 and split[ids].nunique() > 1
    ]
    both = "each patient is in one split: the manifest is refused otherwise"
    return found or [Finding("note", "splits", both)]


def audit_labels(patients: pd.DataFrame) -> tuple[list[Finding], pd.DataFrame]:
    """Measure how far label and centre go together, among development and external patients.

    Returns
    -------
    findings, and a table of one row a split: `split, centres, patients, v, ci_low, ci_high, p,
    method, note`.
    """
    findings, rows = [], []
    for split, group in patients.groupby("split", sort=True):
        counts = pd.crosstab(group["centre"], group["label"])
        found = cramers_v(counts.to_numpy())
        row = {"split": split, "centres": len(counts), "patients": len(group), "v": found.v}
        row |= {"ci_low": found.ci_low, "ci_high": found.ci_high, "p": found.p}
        rows.append({**row, "method": found.method, "note": found.note})
        findings += _of_labels(str(split), counts, found.v, found.ci_low, found.ci_high)
    return findings, pd.DataFrame(rows)


def audit_missing(patients: pd.DataFrame) -> tuple[list[Finding], pd.DataFrame]:
    """Count missing values by column and centre.

    Returns
    -------
    findings, and a table of one row a column and centre: `column, split, centre, patients, missing,
    share`. Labels, centres and splits cannot be missing.
    """
    rows = []
    for column in [name for name in patients.columns if name not in _ROLES]:
        for (split, centre), group in patients.groupby(["split", "centre"], sort=True):
            missing = int(group[column].isna().sum())
            row = {"column": column, "split": split, "centre": centre, "patients": len(group)}
            rows.append({**row, "missing": missing, "share": missing / len(group)})
    table = pd.DataFrame(
        rows, columns=["column", "split", "centre", "patients", "missing", "share"]
    )
    findings = [
        Finding(
            "warning",
            "missing data",
            f"{line['column']} is missing in {line['missing']} of {line['patients']} patients of "
            f"{line['centre']} ({line['split']}); those who have it may be others than those who "
            "have not",
        )
        for line in table[table["share"] > MISSING_SHARE].to_dict("records")
    ]
    if not findings:
        total = int(table["missing"].sum())
        findings = [
            Finding("note", "missing data", f"{total} values missing, in no centre over a fifth")
        ]
    return findings, table


def audit_follow_up(
    patients: pd.DataFrame, endpoints: Mapping[str, Endpoint]
) -> tuple[list[Finding], pd.DataFrame]:
    """Compare follow-up between centres by reverse Kaplan-Meier (Schemper & Smith 1996).

    Returns
    -------
    findings, and a table of one row an endpoint and centre: `endpoint, split, centre, patients,
    events, median_follow_up, ci_low, ci_high, unit`.
    """
    rows = []
    for name, endpoint in endpoints.items():
        known = patients.dropna(subset=list(endpoint.columns))
        for (split, centre), group in known.groupby(["split", "centre"], sort=True):
            entry = group[endpoint.entry] if endpoint.entry else None
            found = median_follow_up(group[endpoint.time], group[endpoint.event], entry=entry)
            row = {"endpoint": name, "split": split, "centre": centre, "patients": len(group)}
            row |= {"events": int(group[endpoint.event].sum()), "median_follow_up": found.median}
            rows.append(
                {**row, "ci_low": found.ci_low, "ci_high": found.ci_high, "unit": endpoint.unit}
            )
    table = pd.DataFrame(rows)
    findings = [
        finding
        for name in endpoints
        for finding in _of_follow_up(name, table[table["endpoint"] == name].to_dict("records"))
    ]
    if not endpoints:
        findings = [Finding("note", "follow-up", "the study names no endpoint")]
    return findings, table


def _bare(patient: str) -> str:
    parts = "".join(c if c.isalnum() else " " for c in patient.casefold()).split()
    return "".join(part.lstrip("0") or "0" for part in parts)


def _of_labels(
    split: str, counts: pd.DataFrame, v: float, ci_low: float, ci_high: float
) -> list[Finding]:
    one_label = list(counts.index[(counts > 0).sum(axis=1) == 1])
    several = len(counts) > 1
    found = []
    if several and len(one_label) == len(counts) and counts.shape[1] > 1:
        says = (
            f"every {split} centre has one label only: a model that knows the centre knows the "
            "label, and nothing tells which of the two it learnt"
        )
        return [Finding("blocking" if split == "development" else "warning", _LABELS, says)]
    if one_label:
        says = f"{split} centres {named(one_label)} have one label only: no AUC of their own"
        found.append(Finding("warning", _LABELS, says))
    if not several:
        says = f"there is one {split} centre: label and centre cannot go together"
        return [*found, Finding("note", _LABELS, says)]
    says = (
        f"Cramer's V of label and centre, {split}: {v:.2f} (95% CI {ci_low:.2f} to "
        f"{'not estimable' if isnan(ci_high) else f'{ci_high:.2f}'})"
    )
    if ci_low > 0:
        says += "; what tells the centre also tells the label, stain and scanner included"
    return [*found, Finding("warning" if ci_low > 0 else "note", _LABELS, says)]


def _of_follow_up(endpoint: str, rows: Sequence[Mapping[Hashable, Any]]) -> list[Finding]:
    found = []
    for row in rows:
        if row["events"] < FEWEST_EVENTS:
            says = (
                f"{endpoint}: {row['centre']} ({row['split']}) has {row['events']} events; a "
                f"hazard ratio of its own rests on at least {FEWEST_EVENTS}"
            )
            found.append(Finding("warning", "follow-up", says))
    for one, other in combinations(rows, 2):
        if one["ci_high"] < other["ci_low"] or other["ci_high"] < one["ci_low"]:
            says = (
                f"{endpoint}: median follow-up of {one['centre']} and {other['centre']} differ "
                "beyond chance; censoring goes with the centre"
            )
            found.append(Finding("warning", "follow-up", says))
    return found or [Finding("note", "follow-up", f"{endpoint}: follow-up is alike")]
