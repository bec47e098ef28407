"""Figures draw what the tables hold, on the axes they are given."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from survival import (
    SurvivalResults,
    SurvivalSettings,
    analyse,
    hazard_ratio_figure,
    kaplan_meier_figure,
    plot_hazard_ratios,
    plot_kaplan_meier,
)

ENDPOINT = "overall survival"


@pytest.fixture(scope="module")
def results(pristine_study, overall_survival, tmp_path_factory) -> SurvivalResults:
    predictions, patients = pristine_study
    nobody_died = patients["os_event"].mask((predictions["centre"] == "Oslo").to_numpy(), 0)
    return analyse(
        predictions,
        patients.assign(os_event=nobody_died),
        overall_survival,
        SurvivalSettings(covariates=("age",)),
        tmp_path_factory.mktemp("survival"),
        "cohort-1",
    )


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_curves_censorings_and_numbers_are_those_of_the_tables(results: SurvivalResults) -> None:
    ax, risk_ax = Figure().subplots(2, 1, sharex=True)
    curves, at_risk, test = (
        table[table["stratum"] == "Bern"]
        for table in (results.kaplan_meier, results.numbers_at_risk, results.logrank)
    )
    assert plot_kaplan_meier(curves, at_risk, test.iloc[0], ax, risk_ax) is ax
    for i, group in enumerate(["low", "high"]):
        curve = curves[curves["group"] == group]
        line, censored = ax.lines[2 * i : 2 * i + 2]
        assert line.get_drawstyle() == "steps-post"
        np.testing.assert_array_equal(line.get_xydata(), curve[["time", "survival"]])
        assert len(censored.get_xdata()) == (curve["n_censored"] > 0).sum()
        drawn = texts(risk_ax)[i * 6 : (i + 1) * 6]
        assert drawn == at_risk.loc[at_risk["group"] == group, "n_risk"].astype(str).tolist()
    positions = [text.get_position()[0] for text in risk_ax.texts[:6]]
    assert positions == ax.get_xticks().tolist() == at_risk["time"].unique().tolist()
    assert ax.get_xlabel() == "Time (months)"
    assert ax.get_ylabel() == "Overall survival probability"


@pytest.mark.parametrize(
    ("stratum", "said"),
    [
        ("Bern", "Log-rank p < 0.001"),
        ("external, pooled", "Log-rank, stratified by centre p < 0.001"),
        ("Oslo", "Log-rank: not estimable"),
    ],
)
def test_panel_states_the_test(results: SurvivalResults, stratum: str, said: str) -> None:
    figure = kaplan_meier_figure(results, ENDPOINT, stratum)
    ax = figure.axes[0]
    assert ax.get_legend().get_title().get_text() == said
    assert ax.get_title(loc="left") == stratum


def test_forest_prints_each_ratio_and_draws_the_estimable_ones(results: SurvivalResults) -> None:
    ax = plot_hazard_ratios(results.cox, Figure().subplots())
    estimable = results.cox[results.cox["hr"].notna()]
    drawn = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "s"]
    assert drawn == estimable["hr"].tolist()
    assert texts(ax).count("not estimable") == len(results.cox) - len(estimable) == 4
    first = results.cox.iloc[0]
    assert f"{first['hr']:.2f} ({first['ci_low']:.2f} to {first['ci_high']:.2f})" in texts(ax)


def test_interval_that_leaves_the_forest_ends_in_an_arrow(results: SurvivalResults) -> None:
    cox = results.cox.iloc[:1].assign(ci_low=0.001, ci_high=1000.0)
    ax = plot_hazard_ratios(cox, Figure().subplots())
    assert ax.get_xlim() == (1 / 32, 32)
    arrows = {line.get_marker(): line.get_xdata()[0] for line in ax.lines[-2:]}
    assert arrows == {"<": 1 / 32, ">": 32}


def test_figures_are_written_with_any_name(results: SurvivalResults, tmp_path: Path) -> None:
    """A centre may be called anything; "$" is no mathematics, and a long name is wrapped."""
    name = "St_Mary's $Trust$ " + 12 * "and partners "
    tables = ("kaplan_meier", "numbers_at_risk", "logrank", "cox")
    renamed = {
        table: getattr(results, table).replace({"stratum": {"Bern": name}}) for table in tables
    }
    results = replace(results, **renamed)
    kaplan_meier_figure(results, ENDPOINT, name).savefig(tmp_path / "curves.svg")
    hazard_ratio_figure(results, ENDPOINT).savefig(tmp_path / "forest.png")
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")
    assert (tmp_path / "forest.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("p", "printed"),
    [(0.0004, "< 0.001"), (0.0312, "= 0.031"), (0.0496, "= 0.050"), (0.254, "= 0.25")],
)
def test_p_value_is_printed_as_journals_do(
    results: SurvivalResults, p: float, printed: str
) -> None:
    test = results.logrank.set_index("stratum").loc["Bern"].copy()
    test["p"] = p
    ax, risk_ax = Figure().subplots(2, 1, sharex=True)
    curves, at_risk = (
        table[table["stratum"] == "Bern"]
        for table in (results.kaplan_meier, results.numbers_at_risk)
    )
    plot_kaplan_meier(curves, at_risk, test, ax, risk_ax)
    assert ax.get_legend().get_title().get_text() == f"Log-rank p {printed}"
