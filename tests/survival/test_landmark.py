"""Landmark analysis, immortal time and delayed entry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohorts.errors import DataError, SettingsError
from survival import (
    delayed_entry_notes,
    immortal_time_warning,
    kaplan_meier,
    landmark_analysis,
    logrank_test,
    numbers_at_risk,
)

TIME, EVENT = [2, 3, 3, 6, 8, 9], [1, 1, 0, 1, 0, 1]
GROUP = ["a", "b", "a", "a", "b", "b"]


def test_who_had_the_event_or_left_up_to_the_landmark_is_left_out_and_counted() -> None:
    result = landmark_analysis(TIME, EVENT, GROUP, 3, known_at=[0, 0, 0, 0, 0, 4])
    assert result.kept.tolist() == [False, False, False, True, True, False]
    assert result.time.tolist() == [3, 5]
    assert result.counts.to_dict("list") == {
        "group": ["a", "b"],
        "n": [3, 3],
        "kept": [1, 1],
        "event_before": [1, 1],
        "censored_before": [1, 0],
        "unscored": [0, 1],
    }
    assert result.note.startswith("landmark at 3: 2 of 6 patients analysed; left out: 2 with the")


def test_kept_clock_starts_the_curve_at_the_landmark_with_all_at_risk() -> None:
    result = landmark_analysis(TIME, EVENT, GROUP, 3, clock="kept")
    curve = kaplan_meier(result.time, result.event, entry=result.entry)
    assert curve[["time", "n_risk", "survival"]].iloc[0].tolist() == [3, 3, 1]
    at = numbers_at_risk(result.time, ["all"] * 3, [0, 3, 6, 7], entry=result.entry)
    assert at["n_risk"].tolist() == [0, 3, 3, 2]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_either_clock_gives_the_same_test_and_curve(seed: int) -> None:
    random = np.random.default_rng(seed)
    time, event = random.integers(1, 20, 40), random.integers(0, 2, 40)
    time[0], group = 20, random.integers(0, 2, 40)
    kept, restarted = (
        landmark_analysis(time, event, group, 5, clock=clock) for clock in ("kept", "restarted")
    )
    of_group = group[kept.kept]
    tests = [logrank_test(r.time, r.event, of_group, entry=r.entry) for r in (kept, restarted)]
    assert tests[0].chi2 == pytest.approx(tests[1].chi2, nan_ok=True)
    curves = [kaplan_meier(r.time, r.event, entry=r.entry) for r in (kept, restarted)]
    np.testing.assert_allclose(curves[0]["time"] - 5, curves[1]["time"])
    np.testing.assert_allclose(curves[0]["survival"], curves[1]["survival"])


@pytest.mark.parametrize("at", [0, 9])
def test_landmark_that_keeps_nobody_or_everybody_is_refused(at: float) -> None:
    with pytest.raises(SettingsError, match=r"landmark: .* give one below 9"):
        landmark_analysis(TIME, EVENT, GROUP, at)


def test_immortal_time_is_told_with_its_share() -> None:
    assert immortal_time_warning([4, 6], [1, 0], [0, 0]) is None
    warning = immortal_time_warning([4, 6], [1, 0], [0, 3])
    assert warning.startswith("immortal time: 1 of 2 scores became known after time zero (median 3")
    assert "30% of all time" in warning
    with pytest.raises(DataError, match="known_at: 1 scores became known when observation had"):
        immortal_time_warning([4, 6], [1, 0], [0, 7])


def test_immortal_time_makes_no_difference_where_patients_enter_late() -> None:
    """Responders of whom survival is the same: counted from zero they live longer (by design)."""
    random = np.random.default_rng(3)
    life, response = random.exponential(10, 4000), random.exponential(8, 4000)
    responder = response < life
    # The same patient is at risk as non-responder up to the response, and as responder after it.
    time = np.append(np.minimum(life, response), life[responder])
    event = np.append(~responder, np.ones(responder.sum(), dtype=bool))
    entry = np.append(np.zeros(4000), response[responder])
    group = np.append(np.zeros(4000), np.ones(responder.sum()))
    assert logrank_test(life, np.ones(4000), responder).p < 1e-50
    assert logrank_test(time, event, group, entry=entry).p > 0.05


def test_notes_on_delayed_entry() -> None:
    assert delayed_entry_notes([5, 6], [1, 1], [0, 0]) == []
    gone = delayed_entry_notes([2, 8, 9], [1, 1, 0], [0, 3, 3])
    assert any("all at risk at 2 have the event, so the curve is 0" in note for note in gone)
    assert any("nobody is at risk just after 2" in note for note in gone)
    many = 30
    assert delayed_entry_notes([5] + [9] * many, [1] * (many + 1), [0] * many + [6]) == []
