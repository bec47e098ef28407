"""What the result page shows of a comparison: a picture, doubts in words, and every number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from cmil.comparison.baselines import BAG_SIZE, CENTRE, COVARIATES, EMBEDDINGS
from cmil.comparison.compare import BASELINE, MODEL, with_measure
from cmil.comparison.figures import compared_points, comparison_figure, shared_notes
from cmil.comparison_stage import TABLE, read_comparison
from cmil.figures import inline_svg
from cohorts.errors import DataError
from cohorts.strata import DEVELOPMENT
from survival.print_numbers import estimate_text

_MEANING = {
    EMBEDDINGS: "A network that weighs single patches may not be needed here.",
    BAG_SIZE: "Its score may follow how many patches a patient has, not what they show.",
    CENTRE: "Its score may follow where a patient comes from, not what the patches show.",
    COVARIATES: "The images may add nothing to what is known of a patient without them.",
}


@dataclass(frozen=True)
class ComparisonPart:
    """The section on simpler explanations.

    Attributes
    ----------
    picture
        Values and differences of the development patients and the widest external cohort.
    doubts
        Sentences on baselines that the model is not shown to be better than.
    cohorts
        Rows of `compare` or `compare_by_bootstrap`, by cohort.
    tests
        How many p values Holm's correction is for.
    """

    picture: Markup
    doubts: Sequence[str]
    cohorts: Mapping[str, Sequence[Any]]
    tests: int


def comparison_part(folder: Path, model_digest: str) -> ComparisonPart | None:
    """Prepare the section from `comparison/`; None where nothing was compared.

    Raises
    ------
    DataError
        If the comparison is of another model.
    """
    if not (folder / TABLE).exists():
        return None
    table = read_comparison(folder)
    if (table.loc[table["role"] == MODEL, "model_digest"] != model_digest).any():
        raise DataError('"comparison" is of another model than "model"; run cmil compare')
    picture = drawn_comparison(table)
    cohorts = {str(c): list(rows.itertuples()) for c, rows in table.groupby("cohort", sort=False)}
    return ComparisonPart(picture, doubts(table), cohorts, int(table["p"].notna().sum()))


def drawn_comparison(table: pd.DataFrame, *, stands_alone: bool = False) -> Markup:
    """Draw a comparison as SVG, with what its numbers lack.

    A picture that `stands_alone` says what it is for.
    """
    points = compared_points(table)
    figure = comparison_figure(points)
    notes = list(shared_notes(points)) if "measure" in table else []
    below = [*notes, *(["Research use only"] if stands_alone else [])]
    if below:
        figure.supxlabel("\n".join(below), x=0.99, ha="right", fontsize=7)
    measure = points["measure"].iloc[0]
    measured = measure[:1].upper() + measure[1:]
    said = f"{measured} of each model, and how much more the study's model has, with 95% intervals"
    return inline_svg(figure, said)


def doubts(table: pd.DataFrame) -> Sequence[str]:
    """Say of each baseline that the model is not shown to be better than, what that may mean.

    A baseline of the development patients or the widest external cohort is named if the interval
    of the difference reaches 0 or, where there is no interval, the difference is not above 0.

    Parameters
    ----------
    table
        As `compare` or `compare_by_bootstrap` gives it; the widest external cohort comes last.
    """
    said = []
    table = with_measure(table)
    measure = table["measure"].iloc[0]
    for cohort in dict.fromkeys([DEVELOPMENT, table["cohort"].iloc[-1]]):
        here = table[table["cohort"] == cohort]
        ours = here.loc[here["role"] == MODEL, "value"].iloc[0]
        for row in here[here["role"] == BASELINE].to_dict("records"):
            limits = (row["difference"], row["difference_ci_low"], row["difference_ci_high"])
            if limits[1] <= 0 or limits[0] <= 0:
                said.append(
                    f"{cohort[:1].upper()}{cohort[1:]}: the model ({measure} {ours:.3f}) is not "
                    f"shown to be better than {row['model']} alone ({measure} {row['value']:.3f}): "
                    f"difference {difference_text(*limits)}. {_MEANING[row['model']]}"
                )
    return said


def difference_text(difference: float, ci_low: float, ci_high: float) -> str:
    """Give a difference with its interval."""
    return estimate_text(difference, ci_low, ci_high, "+z.3f")
