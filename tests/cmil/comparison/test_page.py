"""Where a baseline does as well as the model, the page says so; the picture is the table."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cmil.comparison.compare import COLUMNS
from cmil.comparison.figures import (
    compared_points,
    comparison_figure,
    plot_differences,
    plot_values,
)
from cmil.comparison.page import comparison_part, difference_text, doubts
from cohorts.errors import DataError
from cohorts.strata import DEVELOPMENT, POOLED

NAN = math.nan


def table_of(*rows: tuple[str, str, str, float, float, float, float]) -> pd.DataFrame:
    """Rows of cohort, model, role, AUC, and difference with its limits."""
    names = ["cohort", "model", "role", "auc", "difference"]
    names += ["difference_ci_low", "difference_ci_high"]
    table = pd.DataFrame(rows, columns=names).assign(patients=20, positives=9, note="")
    table = table.assign(auc_ci_low=table["auc"] - 0.1, auc_ci_high=table["auc"] + 0.05)
    known = table["difference"].notna()
    digest = np.where(table["role"] == "model", "ours", "")
    return table.assign(
        p=np.where(known, 0.03, NAN), p_holm=np.where(known, 0.2, NAN), model_digest=digest
    )[list(COLUMNS)]


@pytest.fixture
def table() -> pd.DataFrame:
    return table_of(
        (DEVELOPMENT, "gated_attention", "model", 0.9, NAN, NAN, NAN),
        (DEVELOPMENT, "mean", "aggregator", 0.89, 0.01, -0.1, 0.12),
        (DEVELOPMENT, "bag size", "baseline", 0.6, 0.3, 0.1, 0.5),
        (DEVELOPMENT, "centre", "baseline", 0.88, 0.02, -0.05, 0.09),
        ("Bern", "gated_attention", "model", 0.7, NAN, NAN, NAN),
        ("Bern", "mean", "aggregator", 0.6, 0.1, -0.1, 0.3),
        ("Bern", "bag size", "baseline", 0.75, -0.05, -0.2, 0.1),
        ("Bern", "centre", "baseline", 0.5, 0.2, 0.1, 0.3),
        (POOLED, "gated_attention", "model", 0.8, NAN, NAN, NAN),
        (POOLED, "mean", "aggregator", 0.7, 0.1, -0.02, 0.22),
        (POOLED, "bag size", "baseline", 0.95, -0.15, -0.25, -0.05),
        (POOLED, "centre", "baseline", 0.5, 0.3, NAN, NAN),
    )


def test_baselines_that_do_as_well_are_named_in_the_widest_cohorts(table: pd.DataFrame) -> None:
    of_centre, of_size = doubts(table)
    assert of_centre.startswith(
        "Development (out-of-fold): the model (AUC 0.900) is not shown to be better than centre "
        "alone (AUC 0.880)"
    )
    assert "+0.020 (95% CI -0.050 to +0.090)" in of_centre
    assert of_size.startswith("External, pooled: the model (AUC 0.800)")
    assert "-0.150 (95% CI -0.250 to -0.050)" in of_size
    assert "how many patches" in of_size


def test_without_interval_the_sign_decides() -> None:
    better = (DEVELOPMENT, "bag size", "baseline", 0.5, 0.5, NAN, NAN)
    worse = (DEVELOPMENT, "covariates", "baseline", 1.0, -0.1, NAN, NAN)
    unknown = (DEVELOPMENT, "centre", "baseline", NAN, NAN, NAN, NAN)
    model = (DEVELOPMENT, "mean", "model", 0.9, NAN, NAN, NAN)
    (said,) = doubts(table_of(model, better, worse, unknown))
    assert "covariates alone" in said and "95% CI not estimable" in said


def test_picture_shows_development_and_the_widest_external_cohort(table: pd.DataFrame) -> None:
    points = compared_points(table)
    assert set(points["cohort"]) == {DEVELOPMENT, POOLED}
    assert list(points["place"].round(1)) == [-0.2, 0.8, 1.8, 2.8, 0.2, 1.2, 2.2, 3.2]
    alone = compared_points(table[table["cohort"] == DEVELOPMENT])
    assert list(alone["place"]) == [0, 1, 2, 3]
    assert not alone["external"].any()


def test_what_is_drawn_is_the_table(table: pd.DataFrame) -> None:
    points, ax = compared_points(table), Figure().subplots()
    assert plot_values(points, ax) is ax
    _, inside, outside = ax.lines
    assert list(inside.get_xdata()) == [0.9, 0.89, 0.6, 0.88]
    assert list(outside.get_xdata()) == [0.8, 0.7, 0.95, 0.5]
    assert inside.get_marker() != outside.get_marker()
    ax = Figure().subplots()
    assert plot_differences(points, ax) is ax
    _, inside, outside = ax.lines
    assert list(inside.get_xdata()) == [0.01, 0.3, 0.02]
    assert list(outside.get_xdata()) == [0.1, -0.15, 0.3]


def test_figure_names_every_model_once(table: pd.DataFrame) -> None:
    left, _ = comparison_figure(compared_points(table)).axes
    names = [text.get_text() for text in left.get_yticklabels()]
    assert names == ["gated_attention", "mean", "bag size", "centre"]


def test_figure_without_any_number_is_drawn() -> None:
    rows = [("Bern", m, r, NAN, NAN, NAN, NAN) for m, r in (("mean", "model"), ("x", "baseline"))]
    comparison_figure(compared_points(table_of(*rows))).draw_without_rendering()


def test_part_is_that_of_the_bundle_or_none(table: pd.DataFrame, tmp_path: Path) -> None:
    assert comparison_part(tmp_path, "ours") is None
    table.to_csv(tmp_path / "comparison.csv", index=False)
    part = comparison_part(tmp_path, "ours")
    assert part is not None
    assert list(part.cohorts) == [DEVELOPMENT, "Bern", POOLED]
    assert part.doubts == doubts(table)
    assert part.tests == 9
    assert part.picture.startswith("<svg role")
    with pytest.raises(DataError, match="of another model"):
        comparison_part(tmp_path, "another")


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.1, -0.05, 0.25), "+0.100 (95% CI -0.050 to +0.250)"),
        ((0.5, NAN, NAN), "+0.500 (95% CI not estimable)"),
        ((NAN, NAN, NAN), "not estimable"),
    ],
)
def test_difference_in_words(numbers: tuple[float, float, float], text: str) -> None:
    assert difference_text(*numbers) == text
