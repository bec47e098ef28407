"""Hazard ratios that change with time, against models of follow-up cut by hand."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxTimeVaryingFitter
from lifelines.datasets import load_rossi
from lifelines.utils import to_episodic_format
from scipy.special import ndtr

from cohorts.errors import SettingsError
from survival.cox_model import fit_cox
from survival.time_varying import time_varying_effect


@pytest.fixture(scope="module")
def rossi_model():
    rossi = load_rossi()
    return fit_cox(rossi["week"], rossi["arrest"], rossi[["fin", "age", "prio"]])


def test_effect_by_log_time_equals_lifelines(rossi_model) -> None:
    rossi = load_rossi()[["week", "arrest", "fin", "age", "prio"]]
    rows = to_episodic_format(rossi, "week", "arrest")
    rows["trend"] = rows["age"] * np.log(rows["stop"])
    theirs = CoxTimeVaryingFitter().fit(
        rows, id_col="id", event_col="arrest", start_col="start", stop_col="stop"
    )
    found = time_varying_effect(rossi_model, "age")
    assert found.p == pytest.approx(theirs.summary.loc["trend", "p"], rel=1e-4)
    log_hr = theirs.params_["age"] + theirs.params_["trend"] * np.log(found.table["time"])
    assert np.log(found.table["hr"]).to_numpy() == pytest.approx(log_hr.to_numpy(), abs=1e-5)
    direction = np.array([1, np.log(28)])
    both = [list(theirs.params_.index).index(name) for name in ("age", "trend")]
    variance_of_both = theirs.variance_matrix_.to_numpy()[np.ix_(both, both)]
    variance = direction @ variance_of_both @ direction
    middle = found.table.iloc[1]
    half_width = np.log(middle["ci_high"] / middle["ci_low"]) / 2
    assert half_width == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-4)


def test_step_of_a_lone_covariate_equals_the_two_periods_apart() -> None:
    """Cut at 30, follow-up before and after the step are two studies that share nothing."""
    rossi = load_rossi()
    model = fit_cox(rossi["week"], rossi["arrest"], rossi[["age"]])
    found = time_varying_effect(model, "age", "step", 30.0)
    early = (rossi["week"] <= 30) & (rossi["arrest"] == 1)
    first = fit_cox(np.minimum(rossi["week"], 30), early, rossi[["age"]])
    late = rossi[rossi["week"] > 30]
    second = fit_cox(late["week"], late["arrest"], late[["age"]])
    expected = np.exp([first.coefficients[0], second.coefficients[0]])
    assert found.table["hr"].to_numpy() == pytest.approx(expected, rel=1e-6)
    assert found.table["period"].tolist() == ["up to 30", "after 30"]
    error = np.sqrt(second.covariance[0, 0])
    assert np.log(found.table["ci_high"] / found.table["hr"])[1] == pytest.approx(
        1.959964 * error, rel=1e-5
    )


def test_step_without_events_after_it_is_not_estimable(rossi_model) -> None:
    found = time_varying_effect(rossi_model, "age", "step", 52.0)
    assert found.table.empty
    assert np.isnan(found.p)
    assert found.note.startswith("not estimable")


def test_unknown_term_is_refused(rossi_model) -> None:
    with pytest.raises(SettingsError, match='"race" is no term of the model; it has fin, age'):
        time_varying_effect(rossi_model, "race")


def test_strata_delayed_entry_and_weights_equal_follow_up_cut_at_every_event() -> None:
    """As survSplit and coxph do: a row for each patient at each event time."""
    random = np.random.default_rng(2)
    n = 60
    start = random.uniform(0, 3, n)
    table = pd.DataFrame({"a": random.normal(size=n), "b": random.normal(size=n)})
    stop = start + np.ceil(random.exponential(6, n))
    stop = np.ceil(stop)
    event, stratum = random.random(n) < 0.7, random.integers(0, 2, n)
    weight = random.uniform(0.5, 2, n)
    model = fit_cox(stop, event, table, entry=start, strata=stratum, weights=weight)
    found = time_varying_effect(model, "b")

    cuts = np.unique(stop[event])
    rows = []
    for i in range(n):
        edges = [start[i], *cuts[(cuts > start[i]) & (cuts < stop[i])], stop[i]]
        rows += [(i, lo, hi, event[i] and hi == stop[i]) for lo, hi in pairwise(edges)]
    cut = pd.DataFrame(rows, columns=["i", "start", "stop", "event"])
    terms = table.iloc[cut["i"]].reset_index(drop=True)
    terms["trend"] = terms["b"] * np.log(cut["stop"])
    by_hand = fit_cox(
        cut["stop"],
        cut["event"],
        terms,
        entry=cut["start"],
        strata=stratum[cut["i"]],
        weights=weight[cut["i"]],
    )
    log_hr = by_hand.coefficients[1] + by_hand.coefficients[2] * np.log(found.table["time"])
    assert np.log(found.table["hr"]).to_numpy() == pytest.approx(log_hr.to_numpy(), abs=1e-8)
    z = by_hand.coefficients[2] / np.sqrt(by_hand.covariance[2, 2])
    assert found.p == pytest.approx(2 * ndtr(-abs(z)), rel=1e-6)
