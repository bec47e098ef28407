import numpy as np
import pandas as pd
import pytest

from cmil.readers.figures import reader_points, readers_figure
from cmil.readers.ratings import Readings
from cmil.validation.discrimination import roc_curve


def test_points_are_shares_of_each_reader_and_are_drawn_with_their_mean() -> None:
    labels = [1, 1, 0, 0]
    readings = Readings(("X", "Y"), tuple("abcd"), np.array([[1, 1, 0, 1], [1, 0, 0, 0]], float))
    points = reader_points(readings, labels)
    assert list(points["sensitivity"]) == [1.0, 0.5]
    assert list(points["specificity"]) == [0.5, 1.0]
    assert (points["sensitivity_ci_low"] <= points["sensitivity"]).all()

    operating = pd.Series({"sensitivity": 0.5, "specificity": 1.0})
    figure = readers_figure(roc_curve([0.9, 0.4, 0.5, 0.1], labels), operating, points, "0.75")
    drawn = {line.get_label(): line.get_xydata() for line in figure.axes[0].get_lines()}
    assert drawn["readers' mean"][0] == pytest.approx([0.25, 0.75])
    assert drawn["model, locked threshold"][0] == pytest.approx([0, 0.5])
