"""Kaplan-Meier figures draw what the tables hold, on the axes they are given."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cohorts.errors import SettingsError
from survival import (
    CurveText,
    SurvivalResults,
    curves_by_group,
    curves_figure,
    kaplan_meier_figure,
    numbers_at_risk,
    plot_kaplan_meier,
    write_figure,
)

ENDPOINT = "overall survival"
TICKS = [0, 12, 24]


def cohort(groups: str, n: int = 30) -> tuple[pd.DataFrame, pd.DataFrame]:
    random = np.random.default_rng(5)
    group = np.repeat(list(groups), n)
    time = random.exponential(20, len(group)) + 0.1
    event = random.integers(0, 2, len(group))
    return curves_by_group(time, event, group), numbers_at_risk(time, group, TICKS)


@pytest.mark.parametrize("groups", ["ab", "cab"])
def test_curves_censorings_and_numbers_are_those_of_the_tables(groups: str) -> None:
    curves, at_risk = cohort(groups)
    ax, risk_ax = Figure().subplots(2, 1, sharex=True)
    text = CurveText({group: f"Group {group}" for group in groups})
    assert plot_kaplan_meier(curves, at_risk, text, ax, risk_ax) is ax
    bars = [line.get_color() for line in risk_ax.lines]
    for i, group in enumerate(groups):
        curve = curves[curves["group"] == group]
        line, censored = ax.lines[2 * i : 2 * i + 2]
        assert line.get_drawstyle() == "steps-post"
        np.testing.assert_array_equal(line.get_xydata(), curve[["time", "survival"]])
        assert len(censored.get_xdata()) == (curve["n_censored"] > 0).sum()
        drawn = [text.get_text() for text in risk_ax.texts[3 * i : 3 * i + 3]]
        assert drawn == at_risk.loc[at_risk["group"] == group, "n_risk"].astype(str).tolist()
        assert bars[i] == line.get_color() == censored.get_color()
    assert [text.get_position()[0] for text in risk_ax.texts[:3]] == TICKS
    assert ax.get_xticks().tolist() == TICKS
    assert [label.get_text() for label in risk_ax.get_yticklabels()] == list(text.labels.values())


@pytest.mark.parametrize(
    ("stratum", "said"),
    [
        ("Bern", "Log-rank p < 0.001\nHR "),
        ("external, pooled", "Log-rank, stratified by centre p < 0.001\nHR "),
        ("Oslo", "Log-rank: not estimable\nHR not estimable"),
    ],
)
def test_panel_states_test_and_hazard_ratio(
    analysed: SurvivalResults, stratum: str, said: str
) -> None:
    figure = kaplan_meier_figure(analysed, ENDPOINT, stratum)
    ax = figure.axes[0]
    assert ax.texts[0].get_text().startswith(said)
    assert figure.get_suptitle() == stratum
    assert ax.get_ylabel() == "Overall survival probability"
    assert ax.get_xlabel() == "Time (months)"
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["Low score", "High score"]


def test_hazard_ratio_in_the_panel_is_the_univariable_one(analysed: SurvivalResults) -> None:
    cox = analysed.cox.query("stratum == 'Bern' and term == 'high versus low score'").iloc[0]
    figure = kaplan_meier_figure(analysed, ENDPOINT, "Bern")
    ratio = f"HR {cox['hr']:.2f} (95% CI {cox['ci_low']:.2f} to {cox['ci_high']:.2f})"
    assert figure.axes[0].texts[0].get_text().endswith(ratio)


def test_statement_keeps_off_the_curves() -> None:
    """Curves that stay high leave the bottom free, curves that fall fast the top right."""
    corners = {}
    for name, (first, last) in {"high": (50, 99), "steep": (1, 30)}.items():
        time = np.append(np.linspace(first, last, 40), 100)
        curves = curves_by_group(time, np.append(np.ones(40), 0), ["a"] * 41)
        figure = curves_figure(
            curves, numbers_at_risk(time, ["a"] * 41, [0, 50, 100]), CurveText({"a": "A"}, "p")
        )
        text = figure.axes[0].texts[0]
        corners[name] = (text.get_va(), text.get_ha())
    assert corners == {"high": ("bottom", "left"), "steep": ("top", "right")}


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_any_name_and_long_labels_are_drawn_without_overlap(suffix: str, tmp_path) -> None:
    """A centre may be called anything; "$" is no mathematics, and a long name is wrapped."""
    name = "St_Mary's $Trust$ " + 12 * "and partners "
    curves, at_risk = cohort("ab")
    text = CurveText({"a": name, "b": "B"}, "p $x_1$", name, "Overall $survival", "Time ($)")
    figure = curves_figure(curves, at_risk, text)
    write_figure(figure, tmp_path / f"curves.{suffix}")
    labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert labels == ["St_Mary's $Trust$ and\npartners and ...", "B"]
    drawn = [ax.get_tightbbox() for ax in figure.axes]
    assert drawn[0].y0 >= drawn[1].y1
    assert figure.bbox.x0 - 1 <= min(box.x0 for box in drawn)
    assert max(box.x1 for box in drawn) <= figure.bbox.x1 + 1


def test_every_group_has_a_label_and_a_colour() -> None:
    curves, at_risk = cohort("ab")
    with pytest.raises(SettingsError, match="without: b"):
        curves_figure(curves, at_risk, CurveText({"a": "A"}))
    curves, at_risk = cohort("abcdefgh", 3)
    with pytest.raises(SettingsError, match="at most 7"):
        curves_figure(curves, at_risk, CurveText({name: name for name in "abcdefgh"}))


def test_band_of_a_curve_without_limits_ends_where_they_do() -> None:
    curves = curves_by_group([1, 2, 1, 3], [1, 1, 0, 0], ["a", "a", "b", "b"], interval="log-log")
    at_risk = numbers_at_risk([1, 2, 1, 3], ["a", "a", "b", "b"], TICKS)
    figure = curves_figure(curves, at_risk, CurveText({"a": "A", "b": "B"}))
    for band in figure.axes[0].collections:
        assert np.isfinite(band.get_paths()[0].vertices).all()


def test_group_that_nobody_is_in_has_no_row(analysed: SurvivalResults) -> None:
    tables = ("kaplan_meier", "numbers_at_risk")
    low_only = {
        name: getattr(analysed, name).query("stratum != 'Bern' or group == 'low'")
        for name in tables
    }
    figure = kaplan_meier_figure(replace(analysed, **low_only), ENDPOINT, "Bern")
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["Low score"]
