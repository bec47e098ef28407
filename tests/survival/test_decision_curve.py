"""Net benefit for survival outcomes."""

import time as clock

import numpy as np
import pandas as pd
import pytest

from cohorts.errors import DataError
from survival.curves import kaplan_meier
from survival.decision_curve import survival_decision_curve


@pytest.mark.shared
def test_equals_dcurves(reference) -> None:
    """dca_surv: dcurves::dca(Surv(ttcancer, cancer) ~ cancerpredmarker, time = 1) at 0.25."""
    data = reference("dcurves_df_surv.csv")
    event = data["cancer"].astype(int)
    started = clock.perf_counter()
    found = survival_decision_curve(
        {"marker": data["cancerpredmarker"]},
        data["ttcancer"],
        event,
        1,
        np.random.default_rng(0),
        samples=2,
    )
    # dcurves 1.1.7 for Python takes 11 s.
    assert clock.perf_counter() - started < 11 / 20
    at = found.table[np.isclose(found.table["threshold"], 0.25)].set_index("model")["net_benefit"]
    assert at["all"] == pytest.approx(-0.13695058, abs=1e-8)
    assert at["none"] == 0
    assert at["marker"] == pytest.approx(0.05695371, abs=1e-8)


@pytest.fixture(scope="module")
def patients() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    risk = np.round(rng.uniform(size=120), 2)
    time, left = rng.exponential(1.5 - risk), rng.uniform(0.2, 3, 120)
    return risk, np.minimum(time, left).round(1) + 0.1, (time <= left) * 1.0


def test_is_kaplan_meier_among_the_flagged(patients) -> None:
    risk, time, event = patients
    thresholds = np.array([0.0, 0.2, 0.37, 0.5])
    found = survival_decision_curve(
        {"score": risk}, time, event, 0.8, np.random.default_rng(0), thresholds, 2
    ).table
    for name, chosen in {"score": risk, "all": np.full(120, 1.0)}.items():
        for p in thresholds:
            flagged = chosen >= p
            curve = kaplan_meier(time[flagged], event[flagged])
            survival = curve.loc[curve["time"] <= 0.8 + 1e-12, "survival"].iloc[-1]
            wanted = flagged.mean() * ((1 - survival) - survival * p / (1 - p))
            row = found[(found["model"] == name) & (found["threshold"] == p)].iloc[0]
            assert row["net_benefit"] == pytest.approx(wanted, abs=1e-12)
            assert row["flagged"] == pytest.approx(flagged.mean())


def test_interval_is_the_spread_of_resampled_curves(patients) -> None:
    risk, time, event = patients
    found = survival_decision_curve(
        {"score": risk}, time, event, 0.8, np.random.default_rng(1), [0.3], 300
    )
    rng, drawn = np.random.default_rng(9), []
    for _ in range(300):
        rows = rng.integers(0, 120, 120)
        again = survival_decision_curve(
            {"score": risk[rows]}, time[rows], event[rows], 0.8, rng, [0.3], 1
        )
        drawn.append(again.table["net_benefit"][0])
    row = found.table.iloc[0]
    np.testing.assert_allclose(
        row[["ci_low", "ci_high"]].astype(float), np.percentile(drawn, [2.5, 97.5]), atol=0.02
    )
    gap = found.differences.iloc[0]
    assert (gap["model"], gap["than"]) == ("score", "all")
    assert gap["ci_low"] < gap["difference"] < gap["ci_high"]


def test_flagged_patients_without_follow_up_have_no_net_benefit() -> None:
    risk = np.repeat([0.1, 0.9], 20)
    time = np.concatenate([np.full(20, 5.0), np.linspace(0.1, 0.9, 20)])
    table = survival_decision_curve(
        {"score": risk}, time, np.zeros(40), 1, np.random.default_rng(0), [0.05, 0.5, 0.95], 20
    ).table
    score = table[table["model"] == "score"]
    assert score["net_benefit"].isna().tolist() == [False, True, False]
    assert score["note"].str.contains("no flagged patient").tolist() == [False, True, False]
    assert score["ci_low"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("risks", "thresholds", "says"),
    [
        ({"all": [0.1, 0.2]}, [0.5], '"all" or "none"'),
        ({}, [0.5], "at least one model"),
        ({"score": [0.1, 2.0]}, [0.5], "score: 2 in row 1 is no probability"),
        ({"score": [0.1, 0.2]}, [1.0], "thresholds"),
    ],
)
def test_malformed_settings_are_refused(risks, thresholds, says: str) -> None:
    with pytest.raises(DataError, match=says):
        survival_decision_curve(risks, [1, 2], [1, 0], 1, np.random.default_rng(0), thresholds)


def test_models_keep_their_names_and_order(patients) -> None:
    risk, time, event = patients
    found = survival_decision_curve(
        {"clinical": risk, "both": np.sqrt(risk)},
        time,
        event,
        0.8,
        np.random.default_rng(0),
        [0.2, 0.4],
        5,
    )
    assert list(pd.unique(found.table["model"])) == ["clinical", "both", "all", "none"]
    pairs = found.differences[["model", "than"]].drop_duplicates().to_numpy().tolist()
    assert pairs == [["clinical", "all"], ["both", "clinical"], ["both", "all"]]
