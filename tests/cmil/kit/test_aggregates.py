"""What may leave a centre: no count below the threshold, and none that gives one away."""

from collections import defaultdict
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmil.kit.aggregates import aggregate, refuse_inconsistent, shared_counts, shared_parts
from cmil.validation.discrimination import auc_delong

COUNTS = ["patients", "positives", "negatives"]
CELLS = ["true_positive", "false_negative", "false_positive", "true_negative"]


def scores(tp: int, fn: int, fp: int, tn: int, centre: str = "Bern") -> pd.DataFrame:
    label = [1] * (tp + fn) + [0] * (fp + tn)
    decision = [1] * tp + [0] * fn + [1] * fp + [0] * tn
    score = [0.8 if called else 0.2 for called in decision]
    return pd.DataFrame({"centre": centre, "score": score, "label": label, "decision": decision})


def test_large_counts_are_given_as_they_are() -> None:
    (one,) = aggregate(scores(20, 6, 7, 30))
    assert [getattr(one, name) for name in COUNTS + CELLS] == [63, 26, 37, 20, 6, 7, 30]
    table = scores(20, 6, 7, 30)
    expected = auc_delong(table["score"], table["label"])
    assert (one.auc, one.auc_variance) == (expected.value, expected.variance)
    assert one.note == ""


@pytest.mark.parametrize(
    ("cells", "hidden"),
    [
        ((20, 4, 7, 30), {"true_positive", "false_negative"}),
        ((20, 0, 7, 30), {"true_positive", "false_negative"}),
        ((2, 1, 7, 30), {"positives", "negatives", *CELLS}),
        ((1, 1, 1, 1), {"patients", "positives", "negatives", *CELLS}),
    ],
)
def test_small_counts_are_hidden_with_what_gives_them_away(cells, hidden: set[str]) -> None:
    (one,) = aggregate(scores(*cells))
    assert {name for name in COUNTS + CELLS if getattr(one, name) is None} == hidden
    assert (one.auc is None) == ("positives" in hidden)


@pytest.mark.parametrize("smallest", [3, 5])
def test_no_hidden_count_can_be_worked_out(smallest: int) -> None:
    """Of all tables that are published alike, every hidden count takes several values."""
    alike: dict[tuple[int | None, ...], list[list[int]]] = defaultdict(list)
    for table in product(range(smallest + 4), repeat=4):
        decided = dict(zip(CELLS, table, strict=True))
        shown = shared_counts(decided, smallest)
        assert all(value is None or value >= smallest for value in shown.values())
        tp, fn, fp, tn = table
        margins = {"patients": sum(table), "positives": tp + fn, "negatives": fp + tn}
        truth = {**margins, **decided}
        alike[tuple(shown.values())].append([truth[name] for name in shown])
    for shown_alike, tables in alike.items():
        for place, value in enumerate(shown_alike):
            assert len({table[place] for table in tables}) > (value is None)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=6), st.integers(2, 8))
def test_hidden_parts_are_two_or_more_and_together_large(parts: list[int], smallest: int) -> None:
    named = {str(i): part for i, part in enumerate(parts)}
    shown = shared_parts(named, smallest)
    hidden = [named[name] for name, value in shown.items() if value is None]
    assert all(value is None or value >= smallest for value in shown.values())
    if hidden and len(hidden) < len(parts):
        assert len(hidden) > 1 and sum(hidden) >= smallest


def test_centre_with_one_label_has_no_auc_and_says_why() -> None:
    (one,) = aggregate(scores(0, 0, 7, 30))
    assert one.auc is None and "one label only" in one.note


def test_centres_are_summed_up_apart() -> None:
    both = pd.concat([scores(20, 6, 7, 30), scores(9, 9, 9, 9, "Trento")])
    assert [one.centre for one in aggregate(both)] == ["Bern", "Trento"]
    assert aggregate(both)[0] == aggregate(scores(20, 6, 7, 30))[0]


@pytest.mark.parametrize(
    "change",
    [{"patients": 62}, {"true_positive": 21}, {"auc": 1.2}, {"auc_variance": -1.0}],
)
def test_what_does_not_add_up_is_said(change) -> None:
    (one,) = aggregate(scores(20, 6, 7, 30))
    assert refuse_inconsistent([one]) is None
    assert "Bern" in str(refuse_inconsistent([one.model_copy(update=change)]))


def test_brier_is_the_mean_squared_error() -> None:
    table = scores(20, 6, 7, 30)
    (one,) = aggregate(table)
    assert one.brier == pytest.approx(np.mean((table["score"] - table["label"]) ** 2))
