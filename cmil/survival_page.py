"""The survival section of the result page: words, curves and rows, from the stage's tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from cmil.figures import inline_svg
from survival import CutPoint, SurvivalResults, group_figure, hazard_ratio_figure
from survival.cut_rules import READ_OUTCOMES, rule_text
from survival.print_numbers import p_text


@dataclass(frozen=True)
class EndpointPart:
    """What the survival section shows of one endpoint: rows of `SurvivalResults`, by stratum."""

    name: str
    unit: str
    curves: Sequence[Markup]
    forest: Markup
    medians: Mapping[str, Sequence[Any]]
    tests: Mapping[str, Sequence[Any]]
    ratios: Mapping[str, Sequence[Any]]
    merits: Sequence["Merit"]
    until: str


@dataclass(frozen=True)
class Merit:
    """What the score is worth in one stratum, as text: the last horizon's where there are several.

    `added` is the C of the clinical model with the score less that without, corrected for optimism.
    """

    stratum: str
    harrell: str
    uno: str
    auc: str
    slope: str
    observed_to_expected: str
    ipa: str
    added: str


def cutpoint_text(cut: CutPoint) -> str:
    """Say which groups the scores make, by which rule, and on whom it was fitted."""
    first, last = cut.values[0], cut.values[-1]
    groups = f"Patients with a score above the cut-point {last:.4f} form the high-score group"
    if first < last:
        groups += f", those up to {first:.4f} the low one, and those between the intermediate one"
    rule = rule_text(cut.method, cut.endpoint, cut.horizon)
    searched = cut.method in READ_OUTCOMES
    caution = (
        " In these patients the groups differ by construction; only the external centres tell "
        "whether they do."
        if searched
        else ""
    )
    p = (
        ""
        if cut.p_corrected is None
        else f" (p {p_text(cut.p_corrected)}, corrected for the search"
        + ("" if cut.p_permutation is None else f", {p_text(cut.p_permutation)} by permutation")
        + ")"
    )
    return (
        f"{groups}. It is {rule}, fitted on the out-of-fold scores of {cut.n} development "
        f"patients{p}, and not moved for any external centre.{caution}"
    )


def endpoint_part(survival: SurvivalResults, endpoint: str) -> EndpointPart:
    """Draw an endpoint's curves and hazard ratios, and put its rows under their strata."""
    medians, tests, ratios = (
        _by_stratum(table[table["endpoint"] == endpoint])
        for table in (survival.medians, survival.logrank, survival.cox)
    )
    forest = hazard_ratio_figure(survival, endpoint)
    return EndpointPart(
        endpoint,
        unit=next(iter(medians.values()))[0].unit,
        curves=[
            inline_svg(
                group_figure(survival, endpoint, stratum),
                f"Curves of {endpoint} with numbers at risk, {stratum}",
            )
            for stratum in tests
        ],
        forest=inline_svg(forest, f"Hazard ratios of {endpoint}, listed in the table below"),
        medians=medians,
        tests=tests,
        ratios=ratios,
        merits=[_merit(survival, endpoint, stratum) for stratum in tests],
        until=_until(survival, endpoint),
    )


def methods_paragraphs(methods: str) -> list[str]:
    """Give the paragraphs of `methods.md` without its heading and marks."""
    parts = methods.split("\n\n")
    return [part.replace("**", "").strip() for part in parts if not part.startswith("#")]


def _merit(survival: SurvivalResults, endpoint: str, stratum: str) -> Merit:
    def text(table: str, column: str, prefix: str = "", **wanted: str) -> str:
        rows = survival.further.get(table, pd.DataFrame(columns=["endpoint", "stratum"]))
        for name, value in {"endpoint": endpoint, "stratum": stratum, **wanted}.items():
            # What could not be asked has a row with its reason alone.
            rows = rows[rows[name] == value] if name in rows else rows.iloc[:0]
        # A folder of an earlier version may lack the numbers' columns.
        if rows.empty or column not in rows or pd.isna(rows[column].iloc[-1]):
            return "not estimable"
        low, high = (rows[f"{prefix}{limit}"].iloc[-1] for limit in ("ci_low", "ci_high"))
        return f"{rows[column].iloc[-1]:.2f} ({low:.2f} to {high:.2f})"

    return Merit(
        stratum,
        harrell=text("concordance", "value", method="Harrell's C"),
        uno=text("concordance", "value", method="Uno's C"),
        auc=text("dynamic_auc", "auc"),
        slope=text("calibration", "value", measure="slope"),
        observed_to_expected=text("calibration", "value", measure="O:E"),
        ipa=text("brier", "ipa", "ipa_", model="score"),
        added=text("added_value", "corrected", model="difference"),
    )


def _until(survival: SurvivalResults, endpoint: str) -> str:
    auc = survival.further.get("dynamic_auc")
    if auc is None or not (auc["endpoint"] == endpoint).any():
        return ""
    last = auc[auc["endpoint"] == endpoint].iloc[-1]
    return f"{last['time']:g} {last['unit']}"


def _by_stratum(table: pd.DataFrame) -> Mapping[str, Sequence[Any]]:
    return {str(s): list(rows.itertuples()) for s, rows in table.groupby("stratum", sort=False)}
