"""What a survival analysis found, as tables and as figures to be drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from cohorts.files import write_text
from survival.cutpoint import CutPoint, read_lock

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLES = ("kaplan_meier", "numbers_at_risk", "medians", "logrank", "cox", "left_out")
INCIDENCE = (
    "incidence",
    "incidence_at_risk",
    "gray",
    "competing_hazards",
    "kaplan_meier_overestimates",
)
# Columns of words, where "NA" is a name, "007" no number and "" no gap.
_WORDS = (
    *("endpoint", "stratum", "group", "unit", "term", "adjusted_for", "stratified_by", "event"),
    *("model", "method", "note", "measure", "centre", "subgroup", "level", "left_out"),
)
EXPLORATORY = "exploratory: cut-point not frozen beforehand"


@dataclass(frozen=True)
class Drawing:
    """A figure of one endpoint in one stratum, yet to be drawn."""

    endpoint: str
    stratum: str
    name: str
    draw: "Callable[[], Figure]"


@dataclass(frozen=True)
class SurvivalResults:
    """What `survival.analysis.analyse` found; each table is also a CSV file of the same name.

    Every table starts with `endpoint` and `stratum`; times are in the endpoint's unit; limits are
    95 %. A stratum of several centres is compared within centres (`stratified_by`).

    Attributes
    ----------
    cutpoint
        The frozen cut-point, also in `cutpoint.json`.
    kaplan_meier
        Columns of `survival.curves.kaplan_meier` for each `group` ("low", "high"; between two
        cut-points "intermediate"), and `unit`.
    numbers_at_risk
        `group, time, n_risk, n_event, n_censored` at the ticks of the time axis.
    medians
        Median survival and reverse Kaplan-Meier median follow-up of each group and of "all";
        empty where not reached.
    logrank
        Test of the groups: observed and expected events, `chi2, df, p`, `note`.
    cox
        Hazard ratio of each term, univariable and adjusted; NaN and a `note` where not estimable.
        An adjusted model is of the patients with all covariates; `n` counts them.
    left_out
        `patient_id, split, centre` of those without time or event, and the columns `missing`.
    further
        The other tables by name; `docs/formats.md` has their columns.
    drawings
        Figures; none where the results were read from files.
    exploratory
        Whether the cut-point was fitted without being frozen; every table and figure says so.
    methods
        A paragraph that names every method and choice.
    """

    cutpoint: CutPoint
    kaplan_meier: pd.DataFrame
    numbers_at_risk: pd.DataFrame
    medians: pd.DataFrame
    logrank: pd.DataFrame
    cox: pd.DataFrame
    left_out: pd.DataFrame
    further: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    drawings: Sequence[Drawing] = ()
    exploratory: bool = False
    methods: str = ""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Every table by name."""
        return {name: getattr(self, name) for name in TABLES} | dict(self.further)


def read_results(folder: Path) -> SurvivalResults:
    """Read the tables, the lock and the methods paragraph that `write_tables` has left.

    Raises
    ------
    FileFormatError
        If the lock is damaged.
    """
    words = dict.fromkeys(_WORDS, str)

    def table(name: str) -> pd.DataFrame:
        return pd.read_csv(folder / f"{name}.csv", converters=words)

    return SurvivalResults(
        read_lock(folder / "cutpoint.json"),
        kaplan_meier=table("kaplan_meier"),
        numbers_at_risk=table("numbers_at_risk"),
        medians=table("medians"),
        logrank=table("logrank"),
        cox=table("cox"),
        left_out=table("left_out"),
        further={
            path.stem: table(path.stem)
            for path in sorted(folder.glob("*.csv"))
            if path.stem not in TABLES
        },
        methods=(folder / "methods.md").read_text(encoding="utf-8"),
    )


def write_tables(results: SurvivalResults, folder: Path) -> None:
    """Write every table as CSV, and the methods paragraph as `methods.md`."""
    for name, table in results.tables.items():
        stamped = table.assign(analysis=EXPLORATORY) if results.exploratory else table
        write_text(folder / f"{name}.csv", stamped.to_csv(index=False, lineterminator="\n"))
    write_text(folder / "methods.md", results.methods)
