"""The figures of a survival analysis, each as SVG and PDF."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cohorts.strata import DEVELOPMENT
from survival.competing_analysis import CompetingRisks
from survival.curve_figures import kaplan_meier_figure
from survival.figure_file import write_figure
from survival.figures import hazard_ratio_figure
from survival.incidence_figure import incidence_figure
from survival.results import EXPLORATORY, INCIDENCE, SurvivalResults
from survival.study.plan import GROUP_COLOURS, GROUP_LABELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUFFIXES = ("svg", "pdf")
_STAMP = "#B00020"


def write_figures(results: SurvivalResults, folder: Path) -> list[Path]:
    """Draw and write every figure; give the paths, in order.

    Every stratum has its curves. The rest is drawn of the development patients and of the widest
    external cohort; single centres are in the forest plots.
    """
    paths = []
    taken: set[str] = set()
    for name, figure in _figures(results):
        unique = next(n for n in _candidates(name) if n not in taken)
        taken.add(unique)
        if results.exploratory:
            _stamp(figure)
        for suffix in _SUFFIXES:
            paths.append(folder / f"{unique}.{suffix}")
            write_figure(figure, paths[-1])
            figure.set_layout_engine("none")  # the second file takes the places of the first
    return paths


def group_figure(results: SurvivalResults, endpoint: str, stratum: str) -> "Figure":
    """Curves of the score groups: incidence where events compete, else Kaplan-Meier."""
    incidence = results.further.get("incidence")
    if incidence is None or not (incidence["endpoint"] == endpoint).any():
        return kaplan_meier_figure(results, endpoint, stratum)
    tables = [results.further[name] for name in INCIDENCE]
    here = [t[(t["endpoint"] == endpoint) & (t["stratum"] == stratum)] for t in tables]
    curves = here[0]
    present = [group for group in GROUP_LABELS if (curves["group"] == group).any()]
    return incidence_figure(
        CompetingRisks(*here),
        {group: GROUP_LABELS[group] for group in present},
        str(curves["unit"].iloc[0]),
        stratum,
        [GROUP_COLOURS[group] for group in present],
    )


def _figures(results: SurvivalResults) -> Iterator[tuple[str, "Figure"]]:
    for endpoint in results.logrank["endpoint"].unique().tolist():
        strata = results.logrank["stratum"][results.logrank["endpoint"] == endpoint].tolist()
        for stratum in strata:
            name = f"curves-{endpoint}-{stratum}"
            yield name, group_figure(results, endpoint, stratum)
        yield f"hazard_ratios-{endpoint}", hazard_ratio_figure(results, endpoint)
        shown = _shown(strata)
        for drawing in results.drawings:
            if drawing.endpoint == endpoint and drawing.stratum in shown:
                yield f"{drawing.name}-{endpoint}-{drawing.stratum}", drawing.draw()


def _shown(strata: Sequence[str]) -> set[str]:
    """Development and the widest external cohort, which comes last."""
    return {strata[-1], *(stratum for stratum in strata if stratum == DEVELOPMENT)}


def _candidates(name: str) -> Iterator[str]:
    """File names for a figure: its words joined by hyphens, numbered where two would be alike."""
    plain = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")
    yield plain
    number = 2
    while True:
        yield f"{plain}-{number}"
        number += 1


def _stamp(figure: "Figure") -> None:
    width, height = figure.get_size_inches()
    # A line of its own, above what the figure holds.
    figure.set_size_inches(width, height + 0.2)
    figure.text(0.99, 0.995, EXPLORATORY, ha="right", va="top", fontsize=8, color=_STAMP)
