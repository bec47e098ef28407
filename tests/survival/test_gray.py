"""Gray's test against R's cmprsk::cuminc."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survival.gray import gray_test

EXAMPLE = pd.read_csv(Path(__file__).parent / "data" / "cmprsk_example.csv")
"""`ss, cc, gg, strt, cv, dd$ss` of cmprsk's tests/test.R, drawn as R 1.6.2 draws from seed 2."""

patients = st.lists(
    st.tuples(st.integers(1, 12).map(float), st.sampled_from([0, 1, 2]), st.sampled_from("abc")),
    min_size=6,
    max_size=40,
).map(lambda rows: pd.DataFrame(rows, columns=["time", "event", "group"]))


@pytest.mark.parametrize(
    ("time", "groups", "cause", "chi2", "p"),
    [
        ("time", "abc", 1, 3.393977, 0.1832345),
        ("time", "abc", 2, 1.989511, 0.3698139),
        ("time2", "abc", 1, 1.214132, 0.5449473),
        ("time2", "abc", 2, 3.269462, 0.1950048),
        ("time", "ac", 1, 3.5151549, 0.06080997),
        ("time", "ac", 2, 0.1400145, 0.70826655),
    ],
)
def test_stratified_test_of_two_and_three_groups_equals_cmprsk(
    time: str, groups: str, cause: int, chi2: float, p: float
) -> None:
    """cmprsk 2.2-9 tests/test.Rout.save: cuminc(ss, cc, gg, strt), also with `gg != "b"`."""
    data = EXAMPLE[EXAMPLE["group"].isin(list(groups))]
    test = gray_test(data[time], data["event"], data["group"], cause, data["stratum"])
    assert test.df == len(groups) - 1
    assert test.chi2 == pytest.approx(chi2, abs=5e-7)
    assert test.p == pytest.approx(p, abs=5e-8)
    assert test.groups["events"].sum() == (data["event"] == cause).sum()


@pytest.mark.shared
def test_transplants_equal_cmprsk(reference) -> None:
    """reference_values.json, gray_bmt: cmprsk::cuminc by disease."""
    data = reference("casebase_bmtcrr.csv")
    for cause, chi2, p in ((1, 2.8623325, 0.09067592), (2, 0.4481279, 0.50322531)):
        test = gray_test(data["ftime"], data["Status"], data["D"], cause)
        assert (test.chi2, test.p) == pytest.approx((chi2, p), abs=1e-7)


@settings(deadline=None, max_examples=40)
@given(patients, st.randoms(use_true_random=False))
def test_order_and_names_of_patients_and_groups_do_not_matter(data: pd.DataFrame, random) -> None:
    order = list(range(len(data)))
    random.shuffle(order)
    shuffled = data.iloc[order]
    renamed = shuffled["group"].map({"a": "z", "b": "m", "c": "k"})
    first = gray_test(data["time"], data["event"], data["group"])
    second = gray_test(2 * shuffled["time"], shuffled["event"], renamed)
    assert second.df == first.df
    assert second.chi2 == pytest.approx(first.chi2, rel=1e-6, abs=1e-9, nan_ok=True)


def test_a_stratum_twice_is_two_strata() -> None:
    """Score and covariance add up: doubling the study doubles the statistic."""
    data = EXAMPLE
    once = gray_test(data["time"], data["event"], data["group"])
    twice = pd.concat([data, data])
    half = np.repeat(["first", "second"], len(data))
    test = gray_test(twice["time"], twice["event"], twice["group"], strata=half)
    assert test.chi2 == pytest.approx(2 * once.chi2)


def test_size_under_the_hypothesis() -> None:
    """Competing risks that differ between groups, the same incidence of the cause: 5 % +- 2 SE."""
    random = np.random.default_rng(11)
    rejected = 0
    for _ in range(400):
        group = np.repeat([0, 1], 60)
        # Event 1 by a probability alike in both, event 2 later in group 1.
        event = np.where(random.random(120) < 0.4, 1, 2)
        time = random.exponential(np.where((event == 2) & (group == 1), 3.0, 1.0))
        censored = random.exponential(3.0, 120)
        event = np.where(censored < time, 0, event)
        rejected += gray_test(np.minimum(time, censored), event, group).p < 0.05
    assert 0.028 < rejected / 400 < 0.072


@pytest.mark.parametrize(
    ("event", "group"),
    [([0, 2, 0, 2], "aabb"), ([1, 1, 2, 1], "aaaa"), ([0, 0, 1, 1], "aabb")],
)
def test_nothing_to_compare_is_noted(event: list[int], group: str) -> None:
    test = gray_test([1, 2, 3, 4], event, list(group))
    assert np.isnan(test.chi2)
    assert np.isnan(test.p)
    assert test.note.startswith("not estimable")
