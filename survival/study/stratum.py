"""Patients of one stratum with the outcome of one endpoint, and what a question answers of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORE, HIGH_LOW, INTERMEDIATE_LOW = (
    "score, per SD",
    "high versus low score",
    "intermediate versus low score",
)


@dataclass(frozen=True)
class Stratum:
    """Patients who are analysed together.

    Attributes
    ----------
    name
        "development (out-of-fold)", a centre, or "external, pooled".
    rows
        Indexed by patient id: `time`, `event` (1 for the endpoint's own), `code` (2 and on for
        competing events), `entry` where the endpoint has one, `score`, `per_sd` (score over the
        development cohort's standard deviation), `group`, `centre`.
    covariates
        Numeric columns of the clinical model (NaN where missing).
    risk_group
        Known risk group, its categories from low to high (missing where not known); None where the
        study names none.
    subgroups
        Columns in whose levels the score is looked at.
    """

    name: str
    rows: pd.DataFrame
    covariates: pd.DataFrame
    risk_group: "pd.Series[str] | None"
    subgroups: pd.DataFrame

    @property
    def entry(self) -> "pd.Series[float] | None":
        """Time at which each patient came under observation; None where all were from 0 on."""
        return self.rows.get("entry")

    @property
    def several_centres(self) -> bool:
        """Whether its patients come from more than one centre."""
        return bool(self.rows["centre"].nunique() > 1)

    @property
    def strata(self) -> "pd.Series[str] | None":
        """Centres as strata where there are several: their baseline hazards may differ."""
        return self.rows["centre"] if self.several_centres else None

    @property
    def stratified_by(self) -> str:
        """What its patients are compared within, for tables."""
        return "centre" if self.several_centres else ""

    @property
    def score(self) -> pd.DataFrame:
        """The score in the development cohort's standard deviations, as the one column."""
        return self.rows[["per_sd"]].rename(columns={"per_sd": SCORE})

    @property
    def risk_levels(self) -> tuple[str, ...]:
        """Known risk groups that have patients, from low to high."""
        if self.risk_group is None:
            return ()
        there = set(self.risk_group.dropna())
        return tuple(str(level) for level in self.risk_group.cat.categories if level in there)

    @property
    def clinical(self) -> pd.DataFrame:
        """Terms of the clinical model: covariates, and the risk groups against the lowest here."""
        return self.clinical_with(self.risk_levels)

    def clinical_with(self, levels: tuple[str, ...]) -> pd.DataFrame:
        """Terms of a clinical model of these risk groups; NaN for a patient of another."""
        if self.risk_group is None:
            return self.covariates
        known = self.risk_group.isin(levels)
        indicators = {
            f"{level} versus {levels[0]} risk": (self.risk_group == level)
            .astype(np.float64)
            .where(known)
            for level in levels[1:]
        }
        return self.covariates.assign(**indicators)

    def of(self, name: str, members: "pd.Series[bool]") -> "Stratum":
        """Keep some of the patients under another name."""
        group = None if self.risk_group is None else self.risk_group[members]
        return Stratum(
            name, self.rows[members], self.covariates[members], group, self.subgroups[members]
        )


@dataclass(frozen=True)
class Answer:
    """What a question gave in one stratum.

    Attributes
    ----------
    tables
        By the name of the file they are kept in.
    figures
        Functions that draw, by the name of the file.
    """

    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, "Callable[[], Figure]"] = field(default_factory=dict)


def group_terms(rows: pd.DataFrame, groups: tuple[str, ...]) -> pd.DataFrame:
    """Code the score groups as columns of 0 and 1 against the first of them.

    High against low comes first. A group without a patient has no column, unless it is the high
    one: its ratio is then reported as not estimable.
    """
    terms = {HIGH_LOW: (rows["group"] == groups[-1]).astype(np.float64)}
    if len(groups) > 2 and (rows["group"] == groups[1]).any():
        terms[INTERMEDIATE_LOW] = (rows["group"] == groups[1]).astype(np.float64)
    return pd.DataFrame(terms, index=rows.index)
