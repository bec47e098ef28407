"""Times and events are checked before use, and ties are those that R sees."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohorts.errors import DataError
from survival.follow_up import at_risk, follow_up, group_names


@pytest.mark.parametrize(
    ("time", "event", "entry", "said"),
    [
        ([1, -2, 3], [1, 0, 1], None, "time: wrong or missing for patient b; give a time"),
        ([1, np.nan, np.inf], [1, 0, 1], None, "time: wrong or missing for patient b, c;"),
        ([1, 2, 3], [1, 2, 1], None, "event: wrong or missing for patient b; code an event 1"),
        ([1, 2, 3], [1, 0, 1], [0, 2, 1], "entry: wrong or missing for patient b; it has to be"),
        ([1, 2, 3], [1, 0, 1], [0, np.nan, 1], "entry: wrong or missing for patient b; give"),
        ([1, 2, 3], [1, 0], None, "differ in length"),
        ([], [], None, "no patient"),
    ],
)
def test_what_does_not_serve_is_refused_by_patient(time, event, entry, said: str) -> None:
    times = pd.Series(time, index=list("abc")[: len(time)], dtype=float)
    with pytest.raises(DataError, match=said):
        follow_up(times, event, entry)


def test_patients_without_an_index_are_counted_from_one_and_not_all_named() -> None:
    with pytest.raises(DataError, match=r"patient 1, 2, 3, 4, 5 and 2 more;"):
        follow_up([-1.0] * 7, [1] * 7)


def test_times_that_differ_by_rounding_are_tied_as_by_aeqsurv() -> None:
    """The tolerance of R's vignette "Roundoff error and tied times": 1.5e-8 (timefix = TRUE)."""
    data = follow_up([0.1 + 0.2, 0.3, 1], [1, 1, 1], [0, 0, 0.3])
    assert np.unique(data.time).tolist() == [0.3, 1]
    assert data.entry.tolist() == [-np.inf, -np.inf, 0.3]
    far_apart = follow_up([0.3, 0.3 + 1e-7, 1], [1, 1, 1])
    assert len(np.unique(far_apart.time)) == 3


def test_groups_keep_the_order_of_their_categories() -> None:
    stage = pd.Series(pd.Categorical(["M", "L1", "M"], categories=["L1", "L2", "M"]))
    assert group_names(stage) == ["L1", "M"]
    assert group_names(["M", "L1", "M"]) == ["L1", "M"]
    with pytest.raises(DataError, match="group: a patient has none"):
        group_names(["M", None])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=30),
    st.lists(st.integers(-1, 20), min_size=1, max_size=10),
)
def test_at_risk_is_the_count_of_its_definition(spans, at) -> None:
    entry = np.array([start for start, _ in spans], dtype=float)
    time = entry + np.array([length for _, length in spans])
    data = follow_up(time, np.zeros(len(time)), entry)
    expected = [int(((data.entry < t) & (t <= time)).sum()) for t in at]
    assert at_risk(data, at).tolist() == expected
