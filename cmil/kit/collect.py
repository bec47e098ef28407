"""`cmil kit collect`: check what the centres sent, and put it together."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from scipy.special import expit

from cmil.kit.aggregates import CentreAggregate
from cmil.kit.results import Results, read_results
from cmil.prediction import COLUMNS
from cmil.protocol.external import refuse_unfit_scores
from cmil.protocol.lock import SHIFT, Lock, verify_lock
from cmil.validation.decisions import wilson
from cmil.validation.discrimination import (
    FEWEST,
    auc_delong,
    logit_interval,
    newcombe_interval,
    too_few,
)
from cmil.validation.heterogeneity import Transformed, logit_of_auc
from cohorts.errors import DataError
from cohorts.files import write_text
from cohorts.random_effects import adhoc_is_wider, pool

_NO_SHIFT = (
    "How far these centres lie from development was not told: what it is told by has a row for "
    "each development patient and does not travel."
)
_AS_AUC = (
    *("estimate", "ci_low", "ci_high", "adhoc_ci_low", "adhoc_ci_high"),
    *("prediction_low", "prediction_high"),
)


@dataclass(frozen=True)
class Collected:
    """What the centres say together.

    Attributes
    ----------
    centres
        One row a centre: `centre, shared, patients, positives`; `auc, auc_ci_low, auc_ci_high,
        auc_variance` (DeLong, logit scale; Newcombe's interval where there is no variance; none
        below five patients of a label); `sensitivity` and `specificity`, each with `_k, _n,
        _ci_low, _ci_high` (Wilson); `note`, why something is missing.
    pooled
        AUC over centres, back from the logit scale, by random effects.
    patients
        Rows of `predictions.csv` of the centres that shared patients; the ids are pseudonyms.
    note
        What the centres were not asked, and why; empty otherwise.
    """

    centres: pd.DataFrame
    pooled: pd.DataFrame
    patients: pd.DataFrame
    note: str


def collect_results(model: Path, files: Sequence[Path], out: Path) -> Collected:
    """Check results files against the lock and each other, pool them, and write the tables.

    `centres.csv`, `pooled.csv`, `quality.csv`, `openings.csv` (every entry of every log) and, where
    centres shared patients, `predictions.csv`.

    Raises
    ------
    FileFormatError
        If a file is damaged, was changed, or is of another lock.
    DataError
        If a result comes twice, a centre is in two files, or scores are not of the lock.
    """
    lock = verify_lock(model)
    read = [read_results(path, lock) for path in files]
    results = [one for one, _ in read]
    _refuse_twice(files, results)
    tables = [_patients(one, lock) for one in results if one.patients]
    patients = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    if len(patients):
        refuse_unfit_scores(lock, patients)
    rows = [_row_of_patients(str(name), group) for name, group in patients.groupby("centre")]
    rows += [_row_of_aggregate(one) for each in results for one in each.aggregates]
    centres = pd.DataFrame(rows).sort_values("centre", ignore_index=True)
    note = _NO_SHIFT if SHIFT in lock.files else ""
    collected = Collected(centres, pooled_auc(centres), patients, note)
    quality = [line.model_dump() for one in results for line in one.quality]
    openings = [
        {"file": path.name, **entry.model_dump(mode="json")}
        for path, (_, entries) in zip(files, read, strict=True)
        for entry in entries
    ]
    for name, table in (
        ("centres.csv", centres),
        ("pooled.csv", collected.pooled),
        ("quality.csv", pd.DataFrame(quality)),
        ("openings.csv", pd.DataFrame(openings)),
    ):
        write_text(out / name, table.to_csv(index=False))
    if len(patients):
        write_text(out / "predictions.csv", patients.to_csv(index=False))
    return collected


def pooled_auc(centres: pd.DataFrame) -> pd.DataFrame:
    """Pool the AUC of the centres on the logit scale (Snell et al. 2018, Stat Methods Med Res).

    A centre without an AUC is left out and counted in the note; what is done with an AUC of 0 or 1
    stands in `logit_of_auc`.

    Returns
    -------
    DataFrame
        One row: `measure`; `estimate, ci_low, ci_high, adhoc_ci_low, adhoc_ci_high,
        prediction_low, prediction_high` as AUC; `tau2` (of the logit), `i2` (percent), `centres,
        method, note`.
    """
    placed = [
        logit_of_auc(row["auc"], row["auc_variance"], row["positives"], row["negatives"])
        if pd.notna(row["auc_variance"])
        else Transformed(math.nan, math.nan)
        for row in centres.assign(negatives=centres["patients"] - centres["positives"]).to_dict(
            "records"
        )
    ]
    found = asdict(pool([one.value for one in placed], [one.variance for one in placed]))
    row = {name: float(expit(found[name])) for name in _AS_AUC}
    same = {name: found[name] for name in ("tau2", "i2", "centres", "method", "note")}
    return pd.DataFrame([{"measure": "AUC, pooled on the logit scale", **row, **same}])


def collected_text(found: Collected) -> str:
    """Say in lines what each centre and all of them gave, for a terminal."""
    centres = found.centres[
        ["centre", "shared", "patients", "positives", "auc", "auc_ci_low", "auc_ci_high", "note"]
    ]
    pooled = found.pooled.to_dict("records")[0]
    together = f"{pooled['measure']}: not estimable"
    if not math.isnan(pooled["estimate"]):
        together = (
            f"{pooled['measure']}: {pooled['estimate']:.3f} (95% CI {pooled['ci_low']:.3f} to "
            f"{pooled['ci_high']:.3f}), {pooled['centres']} centres, {pooled['method']}"
        )
        if adhoc_is_wider(pooled):
            together += f", ad hoc {pooled['adhoc_ci_low']:.3f} to {pooled['adhoc_ci_high']:.3f}"
    note = f"; {pooled['note']}" if pooled["note"] else ""
    table = centres.to_string(index=False, justify="left", float_format=lambda x: f"{x:.3f}")
    lines = [f"{table}\n", f"{together}{note}", *filter(None, [found.note]), "Research use only."]
    return "\n".join(lines)


def collected_json(found: Collected) -> str:
    """Give the tables of centres and of what they say together as JSON."""
    tables = {"centres": found.centres, "pooled": found.pooled}
    records = {name: json.loads(t.to_json(orient="records")) for name, t in tables.items()}
    return json.dumps({**records, "note": found.note}, ensure_ascii=False, allow_nan=False)


def _refuse_twice(files: Sequence[Path], results: Sequence[Results]) -> None:
    keys: Sequence[tuple[str, Callable[[Results], Sequence[str]]]] = (
        ("the same result", lambda one: [one.digest]),
        ("a result of the same cohort", lambda one: [one.cohort]),
        ("a result of centre", lambda one: one.centres),
        ("the patient", lambda one: [row.pseudonym for row in one.patients]),
    )
    for what, key in keys:
        first: dict[str, Path] = {}
        for path, one in zip(files, results, strict=True):
            for value in key(one):
                if value in first:
                    named = f' "{value}"' if what.endswith(("centre", "patient")) else ""
                    raise DataError(
                        f'"{path}" and "{first[value]}" hold {what}{named}; each is counted once: '
                        "leave one out"
                    )
                first[value] = path


def _patients(results: Results, lock: Lock) -> pd.DataFrame:
    rows = [
        {
            "patient_id": row.pseudonym,
            "centre": row.centre,
            "split": "external",
            "score_kind": "external",
            **row.model_dump(include={"score", "logit", "score_sd", "label", "decision"}),
            "n_patches": row.n_patches,
            "model_digest": lock.model_digest,
        }
        for row in results.patients
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row_of_patients(centre: str, group: pd.DataFrame) -> dict[str, object]:
    label, decision = group["label"] == 1, group["decision"] == 1
    positives, negatives = int(label.sum()), int((~label).sum())
    few = min(positives, negatives) < FEWEST
    auc = None if few else auc_delong(group["score"], label)
    return {
        "centre": centre,
        "shared": "patients",
        "patients": len(group),
        "positives": positives,
        **_auc(auc.value if auc else None, auc.variance if auc else None, positives, negatives),
        **_proportion("sensitivity", int((label & decision).sum()), positives),
        **_proportion("specificity", int((~label & ~decision).sum()), negatives),
        "note": f"AUC: {too_few(min(positives, negatives))}" if few else "",
    }


def _row_of_aggregate(one: CentreAggregate) -> dict[str, object]:
    return {
        "centre": one.centre,
        "shared": "aggregates",
        "patients": one.patients,
        "positives": one.positives,
        **_auc(one.auc, one.auc_variance, one.positives, one.negatives),
        **_proportion("sensitivity", one.true_positive, one.positives),
        **_proportion("specificity", one.true_negative, one.negatives),
        "note": one.note,
    }


def _auc(
    value: float | None, variance: float | None, cases: int | None, controls: int | None
) -> dict[str, float | None]:
    names = ("auc", "auc_ci_low", "auc_ci_high", "auc_variance")
    if value is None or variance is None or cases is None or controls is None:
        return {**dict.fromkeys(names), "auc": value}
    if variance > 0:
        low, high = logit_interval(value, variance)
    else:  # every patient is on the right side
        low, high = newcombe_interval(value, cases, controls)
    return dict(zip(names, (value, low, high, variance), strict=True))


def _proportion(name: str, k: int | None, n: int | None) -> dict[str, float | int | None]:
    columns = (name, f"{name}_k", f"{name}_n", f"{name}_ci_low", f"{name}_ci_high")
    if k is None or n is None or n == 0:
        return dict.fromkeys(columns)
    found = wilson(k, n)
    return dict(zip(columns, (found.value, k, n, found.ci_low, found.ci_high), strict=True))
