"""The files of `validation/`: what the stage found, written and given back."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from cmil.referral.conformal import ReferralRule
from cmil.referral.detection_limit import DetectionCurve
from cmil.validation import ValidationTables
from cohorts.errors import FileFormatError
from cohorts.files import read_json, write_json, write_text

RULE = "referral_rule.json"
DETECTION = "detection.csv"
# Of a study of classes or of an endpoint, in place of all others.
CLASSES, CONFUSION, CLASS_SCORES = "classes.csv", "confusion.csv", "class_scores.csv"
ENDPOINT = "endpoint.csv"
OF_TASKS = (CLASSES, CONFUSION, CLASS_SCORES, ENDPOINT)
_WORDS = (
    *("cohort", "centre", "left_out", "variable", "level", "measure", "threshold_name", "strategy"),
    *("comparison", "scale", "method", "test", "note", "verdict", "false_alarms_of"),
    *("reader", "one", "other"),
)
_COVARIANCE = ("intercept_variance", "slope_variance", "intercept_slope_covariance")


@dataclass(frozen=True)
class ValidationResults:
    """What the frozen score and decision are worth; None where it was not asked or not possible.

    Attributes
    ----------
    performance
        The short table, as `cmil.validation.performance` gives it.
    tables
        As `cmil.validation.validate_scores` gives them.
    risk_coverage, risk_coverage_area
        `cohort` and the columns of `risk_coverage`, of `Aurc`.
    referral_rule, referral
        The frozen rule, and what it does, as `referral_performance` gives it.
    shift
        One row an external centre, as `shift_table` gives it.
    stability
        Score against the number of patches, as `stability` gives it, over `patients` drawn.
    detection_points, detection
        Bags detected at each planted fraction, as `detection_by_fraction` gives them, with
        `patches` of a bag; their curve and the limit.
    readers_agreement, readers_differences, readers_points, readers_auc
        As `cmil.readers.comparison.ReaderTables` has them.
    """

    performance: pd.DataFrame
    tables: ValidationTables
    risk_coverage: pd.DataFrame
    risk_coverage_area: pd.DataFrame
    referral_rule: ReferralRule | None = None
    referral: pd.DataFrame | None = None
    shift: pd.DataFrame | None = None
    stability: pd.DataFrame | None = None
    detection_points: pd.DataFrame | None = None
    detection: DetectionCurve | None = None
    readers_agreement: pd.DataFrame | None = None
    readers_differences: pd.DataFrame | None = None
    readers_points: pd.DataFrame | None = None
    readers_auc: pd.DataFrame | None = None


_TABLES = tuple(field.name for field in fields(ValidationTables))
_ALWAYS = ("performance", "risk_coverage", "risk_coverage_area")
_IF_MADE = (
    *("referral", "shift", "stability", "detection_points"),
    *("readers_agreement", "readers_differences", "readers_points", "readers_auc"),
)


def write_validation(folder: Path, results: ValidationResults) -> list[Path]:
    """Write every table that was made; give the paths."""
    paths = []
    for name, table in _made(results):
        paths.append(folder / f"{name}.csv")
        write_text(paths[-1], table.to_csv(index=False))
    if results.referral_rule is not None:
        paths.append(folder / RULE)
        write_json(paths[-1], results.referral_rule.model_dump(mode="json"))
    return paths


def remove_validation(folder: Path) -> None:
    """Remove what an earlier validation has left, which this one may not make again."""
    names = [f"{name}.csv" for name in (*_ALWAYS, *_TABLES, *_IF_MADE)]
    for name in (*names, DETECTION, RULE, *OF_TASKS):
        (folder / name).unlink(missing_ok=True)


def read_validation(folder: Path) -> ValidationResults:
    """Read what `write_validation` wrote.

    Raises
    ------
    FileFormatError
        If a table that every validation has is missing, or the rule of referral is damaged.
    """
    made = {name: _read(folder / f"{name}.csv") for name in (*_ALWAYS, *_TABLES)}
    tables = ValidationTables(**{name: made.pop(name) for name in _TABLES})
    for name in _IF_MADE:
        if (folder / f"{name}.csv").exists():
            made[name] = _read(folder / f"{name}.csv")
    curve = _read(folder / DETECTION) if (folder / DETECTION).exists() else None
    return ValidationResults(
        tables=tables,
        referral_rule=_read_rule(folder / RULE),
        detection=None if curve is None else _curve(curve),
        **made,
    )


def detection_row(curve: DetectionCurve) -> pd.DataFrame:
    """Give curve and limit as the one row of `detection.csv`."""
    known = asdict(curve)
    (intercept, both), (_, slope) = known.pop("covariance")
    return pd.DataFrame([known | dict(zip(_COVARIANCE, (intercept, slope, both), strict=True))])


def _made(results: ValidationResults) -> Iterator[tuple[str, pd.DataFrame]]:
    for name in _TABLES:
        table = getattr(results.tables, name)
        # As it has always been: the cohort stands last.
        yield name, table[[*table.columns.drop("cohort"), "cohort"]] if name == "roc" else table
    for name in (*_ALWAYS, *_IF_MADE):
        table = getattr(results, name)
        if table is not None:
            yield name, table
    if results.detection is not None:
        yield DETECTION.removesuffix(".csv"), detection_row(results.detection)


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise FileFormatError(f'"{path}" does not exist; run cmil validate')
    # Only an empty field is missing, and in words it is no word: a centre may be called "NA".
    table = pd.read_csv(
        path,
        converters=dict.fromkeys(_WORDS, str),
        keep_default_na=False,
        na_values=[""],
        float_precision="round_trip",
    )
    if table.empty:  # a file without a row does not say that its columns hold numbers
        return table.astype({name: float for name in table if name not in _WORDS})
    return table


def _read_rule(path: Path) -> ReferralRule | None:
    if not path.exists():
        return None
    try:
        return ReferralRule.model_validate(read_json(path))
    except ValidationError as error:
        raise FileFormatError(f'"{path}" is no rule of referral; run cmil validate') from error


def _curve(table: pd.DataFrame) -> DetectionCurve:
    row: dict[str, Any] = {str(name): value for name, value in table.iloc[0].items()}
    intercept, slope, both = (row.pop(name) for name in _COVARIANCE)
    return DetectionCurve(covariance=np.array([[intercept, both], [both, slope]]), **row)
