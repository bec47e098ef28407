"""IPCW Brier score: values of R's pec, the null model, intervals."""

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_gbsg2

from cohorts.errors import DataError
from survival.brier import brier_score
from survival.product_limit import event_curve

TIMES = np.array([365, 730, 1095, 1460, 1825.0])


@pytest.fixture(scope="module")
def nottingham() -> tuple[pd.DataFrame, np.ndarray]:
    """GBSG2 and the Kaplan-Meier curve of each patient's Nottingham group as prediction."""
    data = load_gbsg2()
    grade = data["tgrade"].map({"I": 1, "II": 2, "III": 3})
    index = (0.2 * data["tsize"] / 10 + 1 + grade).to_numpy()
    group = np.where(index < 3.4, 0, np.where(index <= 5.4, 1, 2))
    predicted = np.empty((len(data), len(TIMES)))
    for name in np.unique(group):
        inside = data[group == name]
        time, event = inside["time"].to_numpy(float), inside["cens"].to_numpy(float)
        predicted[group == name] = event_curve(time, event, np.ones((1, len(inside)))).at(TIMES)
    return data, predicted


def test_equals_pec(nottingham: tuple[pd.DataFrame, np.ndarray]) -> None:
    """brier_gbsg2 of reference_values.json, from R pec."""
    data, predicted = nottingham
    found = brier_score(predicted, data["time"], data["cens"], TIMES, np.random.default_rng(0), 200)
    wanted = [
        *(0.0762922458520448, 0.182536421174199, 0.220017747254941),
        *(0.234133800146671, 0.233822955042198),
    ]
    np.testing.assert_allclose(found.table["brier"], wanted, atol=1e-9)
    assert found.integrated.loc["brier", "value"] == pytest.approx(0.197936392255733, abs=1e-9)
    inside = found.table["brier"].between(found.table["brier_ci_low"], found.table["brier_ci_high"])
    assert inside.all()
    assert (found.integrated["ci_low"] < found.integrated["value"]).all()


def test_null_model_is_kaplan_meier_and_ipa_compares_with_it(nottingham) -> None:
    data, _ = nottingham
    time, event = data["time"].to_numpy(float), data["cens"].to_numpy(float)
    survival = event_curve(time, event, np.ones((1, len(time)))).at(TIMES)
    predicted = np.tile(survival, (len(time), 1))
    found = brier_score(predicted, time, event, TIMES, np.random.default_rng(0), 50).table
    np.testing.assert_allclose(found["brier"], found["null"])
    np.testing.assert_allclose(found["ipa"], 0, atol=1e-12)
    # Without censoring weights it is S(1 - S), the variance of the event by then.
    np.testing.assert_allclose(found["null"], survival[0] * (1 - survival[0]), rtol=0.01)


def test_same_seed_same_interval_and_perfect_prediction_is_zero() -> None:
    rng = np.random.default_rng(1)
    time = rng.exponential(size=60)
    perfect = (time[:, None] > [0.5, 1.0]).astype(float)
    runs = [
        brier_score(perfect, time, np.ones(60), [0.5, 1.0], np.random.default_rng(7), 40)
        for _ in range(2)
    ]
    pd.testing.assert_frame_equal(runs[0].table, runs[1].table)
    assert (runs[0].table["brier"] == 0).all()
    assert (runs[0].table["ipa"] == 1).all()


def test_time_without_support_is_left_out_of_the_integral() -> None:
    rng = np.random.default_rng(2)
    time = np.append(rng.uniform(1, 2, 50), 9.0)
    predicted = np.full((51, 3), 0.5)
    found = brier_score(predicted, time, np.ones(51), [1.2, 1.6, 5], np.random.default_rng(0), 30)
    assert found.table["note"].tolist() == ["", "", "not estimable: 1 at risk, fewer than 10"]
    assert found.table["brier"].isna().tolist() == [False, False, True]
    assert found.integrated.loc["brier", "value"] == pytest.approx(0.25)
    assert found.note == "integrated over 2 times; 1 not estimable"


@pytest.mark.parametrize(
    ("predicted", "times", "says"),
    [
        (np.full((3, 1), 0.5), [1, 2], "one column for each of 2 times"),
        (np.full((3, 2), 0.5), [2, 1], "not ascending"),
        (np.full((3, 2), 1.5), [1, 2], "survival at time 1: 1.5 in row 0 is no probability"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(predicted, times, says: str) -> None:
    with pytest.raises(DataError, match=says):
        brier_score(predicted, [1, 2, 3], [1, 0, 1], times, np.random.default_rng(0))


def test_before_the_first_event_there_is_nothing_to_be_better_than() -> None:
    time, event = np.arange(1.0, 41.0), np.ones(40)
    event[:3] = 0
    survival = np.full((40, 2), 0.9)
    found = brier_score(survival, time, event, [2.5, 20.0], np.random.default_rng(0), 50)
    assert found.table["null"].tolist()[0] == 0
    assert np.isnan(found.table["ipa"][0])
    assert np.isnan(found.table["ipa_ci_low"][0])
    assert found.table["ipa_ci_low"][1] < found.table["ipa"][1]
