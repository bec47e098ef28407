"""What is known of a child with neuroblastoma, read from the patients table in fixed words."""

from collections.abc import Mapping
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from cohorts.errors import DataError, SettingsError

AgeUnit = Literal["days", "months", "years"]
Staging = Literal["INRGSS", "INSS"]

_OF_TUMOUR = ("histology", "differentiation", "aberration_11q", "ploidy")
# 12 and 18 months; in days as Cohn et al. 2009 count them.
_AGE_CUTS = {"days": (365.0, 547.0), "months": (12.0, 18.0), "years": (1.0, 1.5)}
_YES = {"1": "yes", "true": "yes", "yes": "yes"}
_NO = {"0": "no", "false": "no", "no": "no"}
_WORDS: dict[str, dict[str, str]] = {
    "mycn": _YES
    | _NO
    | {
        "amplified": "yes",
        "amp": "yes",
        "non-amplified": "no",
        "not amplified": "no",
        "normal": "no",
    },
    "aberration_11q": _YES
    | _NO
    | {"aberration": "yes", "loss": "yes", "deletion": "yes", "normal": "no", "none": "no"},
    "ploidy": {"hyperdiploid": "hyperdiploid", "diploid": "diploid", "hypodiploid": "diploid"},
    "histology": {
        "gn maturing": "maturing",
        "ganglioneuroma maturing": "maturing",
        "ganglioneuroma, maturing": "maturing",
        "gnb intermixed": "maturing",
        "ganglioneuroblastoma intermixed": "maturing",
        "ganglioneuroblastoma, intermixed": "maturing",
        "gnb nodular": "other",
        "ganglioneuroblastoma nodular": "other",
        "ganglioneuroblastoma, nodular": "other",
        "neuroblastoma": "other",
        "nb": "other",
    },
    "differentiation": {
        "differentiating": "differentiating",
        "poorly differentiated": "poor",
        "undifferentiated": "poor",
        "poorly differentiated or undifferentiated": "poor",
    },
}
# INSS is no pre-treatment stage: 1 stands for L1, and 2 and 3 for L2, as by Cohn et al. 2009.
_STAGES: dict[Staging, dict[str, str]] = {
    "INRGSS": {"l1": "L1", "l2": "L2", "m": "M", "ms": "MS"},
    "INSS": {"1": "L1", "4": "M", "4s": "MS"} | dict.fromkeys(["2", "2a", "2b", "3"], "L2"),
}


class NeuroblastomaColumns(BaseModel):
    """Columns of the patients table from which the risk group follows; None for one not there.

    Attributes
    ----------
    age, age_unit
        Age at diagnosis and its unit.
    stage, staging
        Stage by the INRG staging system (L1, L2, M, MS) or by INSS (1, 2A, 2B, 3, 4, 4S).
    mycn
        1 or "amplified", 0 or "non-amplified".
    histology
        "GN maturing", "GNB intermixed", "GNB nodular" or "neuroblastoma".
    differentiation
        "differentiating", "poorly differentiated" or "undifferentiated".
    aberration_11q
        1 or "aberration", 0 or "none".
    ploidy
        "hyperdiploid" or "diploid", or the DNA index: above 1 is hyperdiploid.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    age: str
    age_unit: AgeUnit
    stage: str
    staging: Staging = "INRGSS"
    mycn: str
    histology: str | None = None
    differentiation: str | None = None
    aberration_11q: str | None = None
    ploidy: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are named, age first."""
        factors = ("age", "stage", "mycn", *_OF_TUMOUR)
        return tuple(getattr(self, factor) for factor in factors if getattr(self, factor))


def read_factors(
    patients: pd.DataFrame, columns: NeuroblastomaColumns
) -> list[dict[str, str | None]]:
    """Read each patient's factors in the words of the rules; None where there is no value.

    Raises
    ------
    SettingsError
        If a column is not there.
    DataError
        If a value is none of its factor's.
    """
    named = {
        factor: getattr(columns, factor)
        for factor in ("age", "stage", *_WORDS)
        if getattr(columns, factor) is not None
    }
    for name in named.values():
        if name not in patients:
            raise SettingsError(f'risk group: patients have no column "{name}"')
    read: dict[str, pd.Series[str]] = {}
    for factor, name in named.items():
        if factor == "age":
            read[factor] = _age_band(patients[name], columns.age_unit)
        elif factor == "stage":
            read[factor] = _words(patients[name], _STAGES[columns.staging])
        elif factor == "ploidy":
            read[factor] = _ploidy(patients[name])
        else:
            read[factor] = _words(patients[name], _WORDS[factor])
    values = zip(*(column.tolist() for column in read.values()), strict=True)
    return [
        {
            factor: None if pd.isna(value) else str(value)
            for factor, value in zip(read, row, strict=True)
        }
        for row in values
    ]


def _age_band(age: "pd.Series[float]", unit: AgeUnit) -> "pd.Series[str]":
    numbers = pd.to_numeric(age, errors="coerce")
    bad = (numbers.isna() & age.notna()) | (numbers < 0)
    if bad.any():
        raise _unreadable(age, bad, f"an age in {unit}")
    year, half = _AGE_CUTS[unit]
    edges = [-1.0, year, half, float("inf")]
    return pd.cut(numbers, edges, right=False, labels=["<12", "12-18", ">=18"]).astype(object)


def _ploidy(values: "pd.Series[str]") -> "pd.Series[str]":
    index = pd.to_numeric(values, errors="coerce")
    bands = pd.cut(index, [-1.0, 1.0, float("inf")], labels=["diploid", "hyperdiploid"])
    words = _words(values.where(index.isna()), _WORDS["ploidy"])
    return bands.astype(object).where(index.notna(), words)


def _words(values: "pd.Series[str]", meanings: Mapping[str, str]) -> "pd.Series[str]":
    plain = values.map(lambda value: str(value).strip().lower(), na_action="ignore")
    # A table whose column has a gap holds stages and flags as 4.0 for 4.
    plain = plain.str.replace(r"\.0$", "", regex=True) if len(plain.dropna()) else plain
    found = plain.map(meanings)
    bad = found.isna() & values.notna()
    if bad.any():
        raise _unreadable(values, bad, f"one of {', '.join(meanings)}")
    return found


def _unreadable(
    values: "pd.Series[str] | pd.Series[float]", bad: "pd.Series[bool]", wanted: str
) -> DataError:
    first = values[bad]
    return DataError(
        f'patients: column "{values.name}": "{first.iloc[0]}" of patient "{first.index[0]}" and '
        f"{len(first) - 1} more are not {wanted}"
    )
