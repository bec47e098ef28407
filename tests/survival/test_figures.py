"""Figures draw what the tables hold, on the axes they are given."""

from matplotlib.figure import Figure

from survival import (
    SurvivalResults,
    plot_hazard_ratios,
)


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_forest_prints_each_ratio_and_draws_the_estimable_ones(analysed: SurvivalResults) -> None:
    ax = plot_hazard_ratios(analysed.cox, Figure().subplots())
    estimable = analysed.cox[analysed.cox["hr"].notna()]
    drawn = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "s"]
    assert drawn == estimable["hr"].tolist()
    assert texts(ax).count("not estimable") == len(analysed.cox) - len(estimable) == 4
    first = analysed.cox.iloc[0]
    assert f"{first['hr']:.2f} ({first['ci_low']:.2f} to {first['ci_high']:.2f})" in texts(ax)


def test_interval_that_leaves_the_forest_ends_in_an_arrow(analysed: SurvivalResults) -> None:
    cox = analysed.cox.iloc[:1].assign(ci_low=0.001, ci_high=1000.0)
    ax = plot_hazard_ratios(cox, Figure().subplots())
    assert ax.get_xlim() == (1 / 32, 32)
    arrows = {line.get_marker(): line.get_xdata()[0] for line in ax.lines[-2:]}
    assert arrows == {"<": 1 / 32, ">": 32}
