"""What the result page says of the maps: sentences, rows and pictures made from the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from cmil.explanations.concentration import TOP_PERCENT, held_text
from cmil.explanations.enrichment import suspicions
from cmil.explanations.explain import Explanations
from cmil.explanations.figures import curves_figure
from cmil.explanations.summary import ALL, BY_CHANCE
from cmil.figures import inline_svg
from survival.print_numbers import interval_text

_GAINS = {"deletion_gain": "deletion", "insertion_gain": "insertion"}
_WORDS = {
    "deletion_gain": "Deletion: area below random order",
    "insertion_gain": "Insertion: area above random order",
    **{f"top_{p}": f"Share of the map held by the top {p}% of patches" for p in TOP_PERCENT},
    "rank_agreement": "Agreement of models: Spearman's rank correlation",
    "top_agreement": "Agreement of models: share of the top 10% in common",
    "truth_auc": "AUC of the map for the patches that are marked",
}


@dataclass(frozen=True)
class ExplanationPart:
    """What the section of the maps shows.

    Attributes
    ----------
    shown
        Map of the pictures: attention, contribution or attribution.
    verdicts
        One a map: whether the score follows it.
    warnings
        Where the map that is shown follows what it should not.
    curves
        Picture of each map.
    rows
        Measure in words, whose patients, by chance, and for each map `mean, ci_low, ci_high,
        patients` or None.
    looks_at
        Rows of the table of enrichment.
    held
        patient_id -> shares of the map that is shown that the top 1, 5 and 10% hold.
    """

    shown: str
    verdicts: Sequence[str]
    warnings: Sequence[str]
    curves: Mapping[str, Markup]
    rows: Sequence[tuple[str, str, float, Sequence[Any]]]
    looks_at: Sequence[Any]
    held: Mapping[str, str]


def explanation_part(explanations: Explanations) -> ExplanationPart:
    """Prepare the section from the tables of `explanations/`."""
    worth, summary = explanations.faithfulness, explanations.summary
    kinds = list(dict.fromkeys(worth["map"]))
    return ExplanationPart(
        shown=kinds[0],
        verdicts=[verdict(summary, kind) for kind in kinds],
        warnings=suspicions(explanations.enrichment),
        curves={kind: drawn_curves(explanations.curves, kind) for kind in kinds},
        rows=_rows(summary, kinds),
        looks_at=list(explanations.enrichment.itertuples()),
        held={
            str(row["patient_id"]): held_text([row[f"top_{p}"] for p in TOP_PERCENT], kinds[0])
            for row in worth[worth["map"] == kinds[0]].to_dict("records")
        },
    )


def verdict(summary: pd.DataFrame, kind: str) -> str:
    """Say whether the score follows a map, for the patients of either decision.

    It does if deletion and insertion both do better than random order, with 95% intervals above 0.
    A map misleads if one of them does worse, with an interval below 0.
    """
    said = []
    of_map = summary[(summary["map"] == kind) & summary["measure"].isin(_GAINS)]
    by_decision = of_map[of_map["patients_of"] != ALL]
    for group, gains in by_decision.groupby("patients_of", sort=False):
        patients = int(gains["patients"].max())
        who = "patient" if patients == 1 else "patients"
        said.append(f"in {patients} {who} {group} {_follows(gains)}")
    return f"{kind[:1].upper()}{kind[1:]}: {'; '.join(said)}."


def _follows(gains: pd.DataFrame) -> str:
    if (gains["ci_low"] > 0).all():
        return "the score follows the map"
    if (gains["ci_high"] < 0).any():
        names = [_GAINS[measure] for measure in gains.loc[gains["ci_high"] < 0, "measure"]]
        return f"the map misleads, {' and '.join(names)} being worse than at random"
    return "it is not shown that the score follows the map"


def mean_text(mean: float, ci_low: float, ci_high: float) -> str:
    """Give a mean over patients with its interval."""
    return interval_text(mean, ci_low, ci_high, "z.3f")


def drawn_curves(curves: pd.DataFrame, kind: str, *, stands_alone: bool = False) -> Markup:
    """Draw the curves of a map as SVG; a picture that `stands_alone` says what it is for."""
    figure = curves_figure(curves, kind)
    if stands_alone:
        figure.supxlabel("Research use only", x=0.99, ha="right", fontsize=7)
    return inline_svg(
        figure,
        f"Deletion and insertion curves in the order of {kind} and in random order, mean over "
        "patients with 95% intervals; the areas between them stand in the table below",
    )


def _rows(
    summary: pd.DataFrame, kinds: Sequence[str]
) -> list[tuple[str, str, float, Sequence[Any]]]:
    rows: list[tuple[str, str, float, Sequence[Any]]] = []
    for measure, by_chance in BY_CHANCE.items():
        of_measure = summary[summary["measure"] == measure]
        groups = [str(group) for group in of_measure["patients_of"].unique()]
        for group in groups if measure in _GAINS else [g for g in groups if g == ALL]:
            of_group = of_measure[of_measure["patients_of"] == group].set_index("map")
            known = {str(row.Index): row for row in of_group.itertuples()}
            rows.append((_WORDS[measure], group, by_chance, [known.get(kind) for kind in kinds]))
    return rows
