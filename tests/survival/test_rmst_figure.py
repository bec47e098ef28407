"""The picture of the restricted mean draws the area that the table states."""

import numpy as np

from survival import curves_by_group, restricted_mean, restricted_mean_figure

TIME, EVENT = [2, 4, 6, 8, 1, 3, 5, 9], [1, 0, 1, 0, 1, 1, 1, 0]
GROUP, LABELS = ["a"] * 4 + ["b"] * 4, {"a": "Low score", "b": "High score"}


def area(collection) -> float:
    """Shoelace formula."""
    x, y = collection.get_paths()[0].vertices.T
    return abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2


def test_areas_drawn_are_time_lived_and_lost() -> None:
    means = restricted_mean(TIME, EVENT, GROUP, tau=7)
    figure = restricted_mean_figure(curves_by_group(TIME, EVENT, GROUP), means, LABELS, "months")
    for ax, mean in zip(figure.axes, means.groups.itertuples(), strict=True):
        lost, lived = ax.collections
        np.testing.assert_allclose([area(lived), area(lost)], [mean.rmst, mean.rmtl])
        assert ax.texts[0].get_text().startswith(f"RMST {mean.rmst:.2f}\n")
    lines = figure.texts[0].get_text().splitlines()
    assert lines[:2] == [
        "Restricted mean survival up to 7 months (pre-specified)",
        "High score versus Low score",
    ]
    assert [line.split()[1] for line in lines[2:]] == ["difference", "ratio", "ratio"]


def test_group_that_ends_before_tau_is_drawn_without_area() -> None:
    means = restricted_mean(TIME, EVENT, GROUP, tau=8.5)
    figure = restricted_mean_figure(curves_by_group(TIME, EVENT, GROUP), means, LABELS, "months")
    assert len(figure.axes[0].collections) == 0
    assert figure.axes[0].texts[0].get_text() == "not estimable"
    assert len(figure.axes[1].collections) == 2
    assert "RMST ratio not estimable" in figure.texts[0].get_text()
