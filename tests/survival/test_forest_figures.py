"""Forest plots draw what the tables of centres and subgroups hold."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cohorts.random_effects import pool
from survival.centres import CentreHazards
from survival.forest_figures import (
    ForestRow,
    centre_forest_figure,
    centre_rows,
    plot_forest,
    subgroup_forest_figure,
    subgroup_rows,
)
from survival.subgroups import SubgroupHazards

COLUMNS = ("Centre", "Events / n", "HR (95% CI)", "Weight")
NAN = float("nan")


@pytest.fixture
def centres() -> CentreHazards:
    table = pd.DataFrame(
        {
            "centre": ["Bern", "$Oslo$", "Vienna"],
            "n": [80, 60, 9],
            "events": [40, 20, 2],
            "hr": [2.0, 1.5, NAN],
            "ci_low": [1.5, 0.04, NAN],
            "ci_high": [2.7, 30.0, NAN],
            "p": [0.001, 0.7, NAN],
            "weight": [75.0, 25.0, 0.0],
            "note": ["", "", "not estimable: 2.0 events per parameter, fewer than 5"],
        }
    )
    pooled = pd.DataFrame(
        {
            "hr": [1.9],
            "ci_low": [1.2],
            "ci_high": [3.0],
            "adhoc_ci_low": [0.7],
            "adhoc_ci_high": [5.16],
            "p": [0.0404],
            "prediction_low": [0.8],
            "prediction_high": [4.5],
            "tau2": [0.0312],
            "i2": [41.6],
            "q_p": [0.19],
            "centres": [2],
            "method": ["random effects: REML, Hartung-Knapp"],
            "note": ["1 of 3 centres not estimable, left out"],
        }
    )
    return CentreHazards(table, pooled, pd.DataFrame(), pool([0.6, 0.4], [0.1, 0.1]))


@pytest.fixture
def subgroups() -> SubgroupHazards:
    levels = pd.DataFrame(
        {
            "subgroup": ["all patients", "MYCN", "MYCN", "stage", "stage"],
            "level": ["", "amplified", "normal", "L1", "MS"],
            "n": [100, 30, 70, 95, 5],
            "events": [60, 20, 40, 59, 1],
            "hr": [1.8, 1.1, 2.2, 1.8, NAN],
            "ci_low": [1.3, 0.7, 1.5, 1.3, NAN],
            "ci_high": [2.5, 1.8, 3.2, 2.5, NAN],
        }
    )
    interactions = pd.DataFrame(
        {"subgroup": ["MYCN", "stage"], "p": [0.0213, NAN], "p_holm": [0.0426, NAN]}
    )
    return SubgroupHazards(levels, interactions, "2 interaction tests")


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in [*figure.axes[0].texts, *figure.texts]]


def test_centres_pooled_and_prediction_are_rows(centres: CentreHazards) -> None:
    rows = centre_rows(centres)
    assert [row.shape for row in rows] == ["square"] * 3 + ["diamond", "interval"]
    assert [row.last for row in rows] == ["75.0%", "25.0%", "", "p = 0.040", ""]
    # Counts are of the pooled centres only.
    assert rows[3].counts == "60 / 140"
    assert rows[0].size == 1
    assert rows[1].size == pytest.approx(1 / 3)


def test_figure_of_centres_prints_and_draws_the_table(centres: CentreHazards) -> None:
    figure = centre_forest_figure(centres, "score, per SD", "Overall survival")
    written = texts(figure)
    assert "2.00 (1.50 to 2.70)" in written
    assert "not estimable" in written
    assert "0.80 to 4.50" in written
    assert "$Oslo$" in written
    assert any("I² 42%, τ² 0.031, heterogeneity p = 0.19" in text for text in written)
    assert "ad hoc interval of the pooled ratio: 0.70 to 5.16" in written
    ax = figure.axes[0]
    assert ax.get_xlabel() == "Hazard ratio (score, per SD)"
    drawn = [line.get_xdata() for line in ax.lines if line.get_marker() == "s"]
    np.testing.assert_array_equal(np.concatenate(drawn), [2.0, 1.5])
    diamond = ax.patches[0].get_xy()[:, 0]
    assert (diamond.min(), diamond.max()) == (1.2, 3.0)
    figure.canvas.draw()


def test_limits_beyond_the_axis_end_in_arrows(centres: CentreHazards) -> None:
    ax = plot_forest(centre_rows(centres), COLUMNS, Figure().add_subplot())
    low, high = ax.get_xlim()
    arrows = {line.get_marker(): line.get_xdata()[0] for line in ax.lines}
    assert (low, high) == (pytest.approx(0.05), pytest.approx(20))
    assert (arrows["<"], arrows[">"]) == (low, high)
    assert all(low <= tick <= high for tick in ax.get_xticks())


def test_one_centre_has_no_diamond(centres: CentreHazards) -> None:
    pooled = centres.pooled.assign(centres=1, prediction_low=NAN, i2=NAN)
    alone = CentreHazards(centres.centres, pooled, centres.left_out, centres.log_pooled)
    assert {row.shape for row in centre_rows(alone)} == {"square"}
    assert not any("I²" in text for text in texts(centre_forest_figure(alone, "score")))


def test_subgroups_have_headers_with_the_interaction(subgroups: SubgroupHazards) -> None:
    rows = subgroup_rows(subgroups)
    assert [row.label for row in rows] == [
        "All patients",
        "MYCN",
        "   amplified",
        "   normal",
        "stage",
        "   L1",
        "   MS",
    ]
    assert rows[1].last == "0.021 (Holm 0.043)"
    assert rows[4].last == "not estimable"
    assert [row.shape for row in rows].count("header") == 2
    figure = subgroup_forest_figure(subgroups, "score, per SD")
    assert "2 interaction tests" in texts(figure)
    assert "2.20 (1.50 to 3.20)" in texts(figure)


def test_nothing_estimable_is_still_a_figure() -> None:
    ax = plot_forest([ForestRow("Bern", "1 / 9")], COLUMNS, Figure().add_subplot())
    assert [text.get_text() for text in ax.texts][-2] == "not estimable"


def test_text_stays_on_the_figure(centres: CentreHazards, subgroups: SubgroupHazards) -> None:
    for figure in (
        centre_forest_figure(centres, "score", "Title"),
        subgroup_forest_figure(subgroups, "score"),
    ):
        width, height = figure.bbox.width, figure.bbox.height
        figure.canvas.draw()
        for text in [*figure.axes[0].texts, *figure.texts]:
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= width
            assert box.y0 >= 0
            assert box.y1 <= height
