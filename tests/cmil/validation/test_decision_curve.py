"""Net benefit against dcurves, and by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmil.validation.bootstrap import patient_weights
from cmil.validation.decision_curve import decision_curve, net_benefit

SCORES, LABELS = np.array([0.9, 0.6, 0.4, 0.2]), np.array([1, 0, 1, 0])


def weights_of(n: int) -> np.ndarray:
    return patient_weights(pd.DataFrame({"c": [0] * n}), 300, np.random.default_rng(1))


@pytest.mark.shared
def test_equals_dcurves(reference: Callable[[str], Path]) -> None:
    """At 25%: `dca(cancer ~ cancerpredmarker, df_binary)`, test-dca.R at 2362730."""
    men = pd.read_csv(reference("dcurves_df_binary.csv"))
    curve = decision_curve(
        men["cancerpredmarker"], men["cancer"], weights_of(len(men)), None, [0.25]
    ).set_index("strategy")
    expected = {"all": -0.1466667, "none": 0.0, "model": 0.064}
    for strategy, value in expected.items():
        assert curve.loc[strategy, "net_benefit"] == pytest.approx(value, abs=1e-6)
    assert curve.loc["all", "difference"] == pytest.approx(0.2106667, abs=1e-6)


def test_by_hand() -> None:
    """At 0.5 two are called, one rightly: 1/4 - 1/4 * 1; at 0.2 all: 1/2 - 1/2 / 4."""
    found = net_benefit(SCORES, LABELS, [0.5, 0.2], np.ones((1, 4)))
    assert found == pytest.approx(np.array([[0.0, 0.375]]))


def test_strategies_and_their_differences(study: pd.DataFrame) -> None:
    weights = weights_of(len(study))
    comparator = ("clinical", study["clinical"])
    curve = decision_curve(study["score"], study["label"], weights, comparator, [0.1, 0.5])
    assert curve["strategy"].unique().tolist() == ["model", "all", "none", "clinical"]
    by = curve.set_index(["strategy", "threshold"])
    for at in (0.1, 0.5):
        model = by.loc[("model", at)]
        assert (model["difference"], model["difference_ci_low"]) == (0, 0)
        assert model["ci_low"] < model["net_benefit"] < model["ci_high"]
        other = by.loc[("clinical", at)]
        expected = model["net_benefit"] - other["net_benefit"]
        assert other["difference"] == pytest.approx(expected)
        assert (by.loc[("none", at), ["net_benefit", "ci_low", "ci_high"]] == 0).all()
    # Scores and a comparator of the same patients vary together.
    narrow = (
        by.loc[("clinical", 0.5), "difference_ci_high"]
        - by.loc[("clinical", 0.5), "difference_ci_low"]
    )
    assert narrow < by.loc[("model", 0.5), "ci_high"] - by.loc[("model", 0.5), "ci_low"]
