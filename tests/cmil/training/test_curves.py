"""The table of epochs, and that its lines are drawn."""

import math

import numpy as np
import pytest

from cmil.training.curves import curve_figure, curve_table
from cmil.training.fits import FitResult
from cmil.training.fitting import Epoch


@pytest.mark.parametrize("watched", [True, False])
def test_a_row_an_epoch_and_a_line_a_model(watched: bool) -> None:
    inner = (0.8, 0.6) if watched else (math.nan, math.nan)
    results = [
        FitResult(
            np.zeros((1, 1)), 0, 0, tuple(Epoch(e, 1 / (e + 1), 0.5, *inner) for e in range(n))
        )
        for n in (2, 3)
    ]
    table = curve_table(results)
    assert table["model"].tolist() == [0, 0, 1, 1, 1]
    assert table["epoch"].tolist() == [0, 1, 0, 1, 2]
    assert table["watched_loss"].notna().all() == watched
    loss, discrimination = curve_figure(table).axes
    assert len(loss.lines) == (4 if watched else 2)
    assert loss.lines[1].get_ydata().tolist() == [1, 1 / 2, 1 / 3]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == (
        ["training", "inner split"] if watched else ["training"]
    )
    assert discrimination.get_ylabel() == "Discrimination"
