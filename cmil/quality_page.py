"""The quality page: which centre's or slide's images a study should look at before it trusts them.

One file that needs no other; the previews it does not hold are linked beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from cmil import __version__
from cmil.figures import Picture, inline_picture, score_points
from cmil.pages import page_templates
from cmil.quality_table import QualityTable, centre_table, quality_table, slides_to_check
from cohorts.files import write_text
from cohorts.manifest import Cohort
from feature_extraction.preview import preview_path
from feature_extraction.preview.slide_picture import share_text
from feature_extraction.quality import MEASURES

TO_CHECK = 12
# Of a strip in the units of its drawing.
_WIDTH, _HEIGHT, _EDGE = 640, 44, 12


@dataclass(frozen=True)
class Strip:
    """The slides of one centre along the axis of one measure, in units of the drawing."""

    centre: str
    split: str
    points: Sequence[tuple[float, float, str]]  # x, y, what it says when pointed at
    box: tuple[float, float, float]  # quartiles


@dataclass(frozen=True)
class Distribution:
    """One quality measure over all slides, centre by centre."""

    measure: str
    meaning: str
    strips: Sequence[Strip]
    ticks: Sequence[tuple[float, str]]
    overall: float
    overall_text: str


def write_quality_page(cohort: Cohort, bags: Path) -> Path:
    """Write `bags/quality.html`, and the same numbers slide by slide to `bags/quality.csv`.

    Parameters
    ----------
    cohort
        All slides of the study.
    bags
        Folder of bags with its `slides.csv` and, where they were drawn, `preview/`.

    Returns
    -------
    Path of the page

    Raises
    ------
    FileFormatError
        If `slides.csv` is missing or damaged. A bag that cannot be read is named on the page.
    """
    table = quality_table(cohort, bags)
    write_text(bags / "quality.csv", table.slides.to_csv(index=False, float_format="%.6g"))
    centres = centre_table(table)
    check = slides_to_check(table, TO_CHECK)
    previews = {
        str(i): f"preview/{quote(preview_path(bags, i).name)}"
        for i in table.slides["slide_id"]
        if preview_path(bags, i).exists()
    }
    page = (
        page_templates({"share_text": share_text, "known": pd.notna})
        .get_template("quality.html.j2")
        .render(
            result=headline(table),
            table=table,
            centres=centres.to_dict("records"),
            totals=centres[["slides", "with_bag", "failed", *table.count_columns]].sum().to_dict(),
            distributions=distributions(table),
            check=[(slide_id, why, _picture(bags, slide_id)) for slide_id, why in check],
            places={row["slide_id"]: row for row in table.slides.to_dict("records")},
            troubled=_troubled(table.slides),
            previews=previews,
            version=__version__,
            size=(_WIDTH, _HEIGHT, _EDGE),
        )
    )
    write_text(bags / "quality.html", page)
    return bags / "quality.html"


def headline(table: QualityTable) -> str:
    """Say in two sentences how many slides serve and how many patches were kept."""
    slides = table.slides
    states = ", ".join(f"{n} {state}" for state, n in slides["state"].value_counts().items())
    kept, all_of = int(slides["kept"].sum()), int(slides["candidates"].sum())
    share = f" ({share_text(kept, all_of)})" if all_of else ""
    return (
        f"{slides['kept'].notna().sum()} of {len(slides)} slides of "
        f"{slides['patient_id'].nunique()} patients have a bag ({states}). "
        f"{kept:,} of {all_of:,} candidate patches{share} were kept."
    )


def distributions(table: QualityTable) -> list[Distribution]:
    """Place every slide's median on the axis of each measure that any slide has.

    Slides of similar value are stacked, so that none hides another.
    """
    drawn = []
    for measure in table.measures:
        known = table.slides.dropna(subset=[f"median_{measure}"])
        if len(known):
            drawn.append(_distribution(measure, known.assign(value=known[f"median_{measure}"])))
    return drawn


def _distribution(measure: str, slides: pd.DataFrame) -> Distribution:
    low, high = float(slides["value"].min()), float(slides["value"].max())
    margin = 0.04 * (high - low) or max(abs(high), 1.0) * 0.04
    low, span = low - margin, high - low + 2 * margin

    def place(value: float) -> float:
        return round(_EDGE + (_WIDTH - 2 * _EDGE) * (value - low) / span, 1)

    number = slides.groupby(["split", "centre"]).ngroup()
    offset = score_points((slides["value"] - low) / span, number)["offset"].to_numpy()
    slides = slides.assign(y=(_HEIGHT / 2 - offset * _HEIGHT).round(1))
    strips = []
    for (split, centre), rows in slides.groupby(["split", "centre"]):
        points = [
            (place(value), float(y), f"{slide_id}: {value:.3g}")
            for slide_id, value, y in zip(rows["slide_id"], rows["value"], rows["y"], strict=True)
        ]
        quartiles = np.quantile(rows["value"], [0.25, 0.5, 0.75]).tolist()
        box = place(quartiles[0]), place(quartiles[1]), place(quartiles[2])
        strips.append(Strip(str(centre), str(split), points, box))
    inside = [t for t in MaxNLocator(5).tick_values(low, low + span) if low <= t <= low + span]
    overall = float(slides["value"].median())
    return Distribution(
        measure,
        MEASURES.get(measure, ""),
        strips,
        [(place(tick), f"{tick:.6g}") for tick in inside],
        place(overall),
        f"{overall:.3g}",
    )


def _picture(bags: Path, slide_id: str) -> Picture | None:
    path = preview_path(bags, slide_id)
    return inline_picture(path) if path.exists() else None


def _troubled(slides: pd.DataFrame) -> list[Mapping[str, object]]:
    """Slides that failed, are without a bag, or about which something was said."""
    said = (slides["reason"] != "") | (slides["note"] != "")
    chosen = slides[(slides["state"] == "failed") | slides["kept"].isna() | said]
    return [{str(name): row[name] for name in row} for row in chosen.to_dict("records")]
