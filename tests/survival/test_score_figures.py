"""Figures of Cox models draw what their tables hold."""

from dataclasses import replace

import numpy as np
import pytest
from lifelines.datasets import load_rossi
from matplotlib.figure import Figure

from survival.cox import cox_regression
from survival.proportional_hazards import proportional_hazards_test
from survival.score_figures import forest_figure, plot_schoenfeld, plot_spline
from survival.spline import spline_effect


@pytest.fixture(scope="module")
def regression():
    rossi = load_rossi()
    return cox_regression(rossi["week"], rossi["arrest"], rossi[["fin", "age", "prio"]])


@pytest.fixture
def ax():
    return Figure().subplots()


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_forest_draws_every_interval_and_prints_it(regression, tmp_path) -> None:
    figure = forest_figure(regression)
    figure.savefig(tmp_path / "forest.svg")
    ax = figure.axes[0]
    intervals = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2][1:]
    expected = regression.table[["ci_low", "ci_high"]].to_numpy()
    assert np.array(intervals) == pytest.approx(expected)
    row = regression.table.iloc[0]
    assert f"{row['hr']:.2f} ({row['ci_low']:.2f} to {row['ci_high']:.2f})" in texts(ax)
    assert figure.texts[-1].get_text() == "432 patients, 114 events"


def test_forest_of_endless_and_absent_ratios_keeps_to_its_axes(regression, tmp_path) -> None:
    table = regression.table.copy()
    table.loc[0, ["hr", "ci_high"]] = [5000.0, np.inf]
    table.loc[1, ["hr", "ci_low", "ci_high", "p"]] = np.nan
    figure = forest_figure(replace(regression, table=table))
    figure.savefig(tmp_path / "forest.png")
    ax = figure.axes[0]
    assert ax.get_xlim()[1] == 20
    assert "not estimable" in texts(ax)
    assert [line.get_marker() for line in ax.lines].count(">") == 1
    assert [line.get_marker() for line in ax.lines].count("s") == 1


def test_spline_draws_the_curve_and_its_tests(ax, tmp_path) -> None:
    rossi = load_rossi()
    effect = spline_effect(rossi["week"], rossi["arrest"], rossi["age"], n_knots=3)
    plot_spline(effect, ax, "Age $ (years)")
    ax.figure.savefig(tmp_path / "spline.png")
    assert ax.lines[0].get_ydata() == pytest.approx(effect.curve["hr"].to_numpy())
    assert f"non-linearity p = {effect.non_linearity.p:.2f}" in ax.get_title(loc="left")
    assert ax.get_xlabel() == "Age $ (years)"


def test_score_without_a_curve_says_why(ax) -> None:
    rossi = load_rossi()
    effect = spline_effect(rossi["week"], rossi["arrest"], rossi["fin"])
    plot_spline(effect, ax)
    assert texts(ax) == ["not estimable: the score has too few values for 4 knots"]


def test_schoenfeld_draws_residuals_smooth_and_the_constant_ratio(regression, ax, tmp_path) -> None:
    hazards = proportional_hazards_test(regression.model)
    plot_schoenfeld(hazards, "age", "weeks", ax)
    ax.figure.savefig(tmp_path / "schoenfeld.png")
    points, constant, smooth = ax.lines
    assert points.get_ydata() == pytest.approx(hazards.residuals["age"].to_numpy())
    assert constant.get_ydata()[0] == pytest.approx(regression.table["coefficient"][1])
    assert len(smooth.get_xdata()) == 40
    chi2 = hazards.table["chi2"][1]
    assert f"chi-squared {chi2:.2f}, p = " in ax.get_title(loc="left")
