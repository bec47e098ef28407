"""Harrell's and Uno's C, their intervals and their difference."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.datasets import load_lung, load_rossi
from scipy.stats import rankdata

from cohorts.errors import DataError
from survival.concordance import (
    Censoring,
    concordance_difference,
    harrell_c,
    uno_c,
    weighted_c,
)
from survival.weighted_cox import fit_weighted_cox

patients = st.lists(
    st.tuples(st.integers(0, 5), st.integers(1, 8), st.integers(0, 1)), min_size=2, max_size=30
)


def pairwise(risk, time, event, weight) -> tuple[float, np.ndarray]:
    """C and counts by looking at every pair."""
    counts, right = np.zeros(3), 0.0
    for i in range(len(time)):
        for j in range(len(time)):
            later = time[i] < time[j] or (time[i] == time[j] and not event[j])
            if event[i] and later and i != j:
                side = np.sign(risk[i] - risk[j])
                counts[[0, 2, 1][int(1 - side)]] += 1
                right += weight[i] * weight[j] * (side + 1) / 2
    total = sum(
        weight[i] * weight[j]
        for i in range(len(time))
        for j in range(len(time))
        if event[i] and i != j and (time[i] < time[j] or (time[i] == time[j] and not event[j]))
    )
    return (right / total if total else math.nan), counts


def test_counts_equal_those_of_r() -> None:
    """survival::concordance(Surv(time, status) ~ ph.ecog, lung, reverse = TRUE)$count.

    concordant, discordant, tied.x, tied.y + tied.xy: 8392 4258 7137 21 7 (concordance.Rout.save).
    """
    lung = load_lung().dropna(subset=["ph.ecog"])
    c = harrell_c(lung["ph.ecog"], lung["time"], lung["status"])
    assert (c.concordant, c.discordant, c.tied_risk, c.tied_time) == (8392, 4258, 7137, 28)
    assert c.value == pytest.approx((8392 + 7137 / 2) / (8392 + 4258 + 7137), abs=1e-12)


def test_standard_error_equals_that_of_r() -> None:
    """summary(coxph(Surv(week, arrest) ~ ., rossi)): Concordance= 0.64 (se = 0.027)."""
    rossi = load_rossi()
    x = rossi[["fin", "age", "race", "wexp", "mar", "paro", "prio"]].to_numpy(dtype=float)
    time, event = rossi["week"].to_numpy(dtype=float), rossi["arrest"].to_numpy(dtype=float)
    fit = fit_weighted_cox(x, time, event, np.ones((1, len(time))))
    c = harrell_c(x @ fit.coefficients[0], time, event)
    assert (round(c.value, 2), round(c.std_err, 3)) == (0.64, 0.027)


@settings(deadline=None)
@given(patients, st.integers(0, 1000))
def test_every_pair_is_counted_once(rows: list[tuple[int, int, int]], seed: int) -> None:
    risk, time, event = np.array(rows, dtype=float).T
    weight = np.random.default_rng(seed).integers(0, 4, len(time)).astype(float)
    wanted, counts = pairwise(risk, time, event, np.ones(len(time)))
    c = harrell_c(risk, time, event)
    assert (c.concordant, c.discordant, c.tied_risk) == tuple(counts)
    assert c.value == pytest.approx(wanted, nan_ok=True)
    assert bool(c.note) == math.isnan(wanted)
    weighted, _ = pairwise(risk, time, event, weight)
    found = weighted_c(risk, time, event, np.stack([weight, np.ones(len(time))]))
    np.testing.assert_allclose(found, [weighted, wanted])


@pytest.mark.shared
def test_unos_c_equals_survc1_and_survauc(torchsurv_lung: dict[str, np.ndarray]) -> None:
    """c_variants of reference_values.json: survAUC 0.5169, survC1 0.5137, Harrell 0.5295.

    survAUC counts equal risks as discordant: ties are broken that way for it.
    """
    lung = torchsurv_lung
    time, event, risk = lung["test_time"], lung["test_status"], lung["estimate"]
    tau = lung["times"].max()
    development = lung["train_time"], lung["train_status"]
    own = uno_c(risk, time, event, Censoring(tau))
    assert own.value == pytest.approx(0.5137, abs=1e-4)
    assert (own.weights, own.tau) == ("validation", 550)
    broken = risk + 1e-7 * rankdata(time)
    theirs = uno_c(broken, time, event, Censoring(tau, development))
    assert theirs.value == pytest.approx(0.5169, abs=1e-4)
    assert theirs.weights == "development"
    assert harrell_c(risk, time, event).value == pytest.approx(0.5295, abs=1e-4)


def test_without_censoring_before_tau_uno_is_harrell() -> None:
    rng = np.random.default_rng(2)
    time, risk = rng.exponential(size=60), rng.normal(size=60)
    event = np.ones(60)
    uno, harrell = uno_c(risk, time, event, Censoring(math.inf)), harrell_c(risk, time, event)
    assert uno.value == pytest.approx(harrell.value)
    assert uno.std_err == pytest.approx(harrell.std_err)


def test_interval_of_unos_c_covers_the_truth() -> None:
    """Coverage over 120 studies with heavy censoring; the standard error includes that of G."""
    rng, hits, harrells = np.random.default_rng(4), 0, 0
    big = rng.normal(size=100_000)
    whole = rng.exponential(np.exp(-big))
    tau = 1.5
    truth = uno_c(big, whole, np.ones(len(big)), Censoring(tau)).value
    for _ in range(120):
        risk = rng.normal(size=200)
        time, left = rng.exponential(np.exp(-risk)), rng.exponential(1.2, 200)
        seen = np.minimum(time, left), (time <= left) * 1.0
        c = uno_c(risk, *seen, Censoring(tau))
        hits += c.ci_low <= truth <= c.ci_high
        harrells += harrell_c(risk, *seen).value > truth
    assert 106 <= hits <= 120
    # Harrell's C moves with the censoring; that is what the weights are for.
    assert harrells > 70


def test_difference_is_paired() -> None:
    rng = np.random.default_rng(5)
    risk = rng.normal(size=150)
    time, event = rng.exponential(np.exp(-risk)), rng.integers(0, 2, 150)
    noisy = risk + rng.normal(size=150) / 2
    gap = concordance_difference(risk, noisy, time, event)
    assert gap.value == pytest.approx(gap.first.value - gap.second.value)
    assert gap.std_err < math.hypot(gap.first.std_err, gap.second.std_err)
    back = concordance_difference(noisy, risk, time, event)
    assert (back.value, back.p) == (pytest.approx(-gap.value), pytest.approx(gap.p))
    same = concordance_difference(risk, 2 * risk + 1, time, event)
    assert (same.value, same.note) == (0.0, "p not estimable: both scores order the patients alike")


def test_tau_beyond_the_development_follow_up_is_noted() -> None:
    c = uno_c([1, 2, 3], [5, 6, 7], [1, 1, 1], Censoring(10, ([1, 2, 3], [0, 0, 0])))
    assert math.isnan(c.value)
    assert "no development patient is uncensored" in c.note


@pytest.mark.parametrize(
    ("risk", "time", "event", "says"),
    [
        ([1.0, np.nan], [1, 2], [1, 0], "risk: missing or infinite in row 1"),
        ([1.0, 2.0, 3.0], [1, 2], [1, 0], "risk: shape"),
        ([1.0, 2.0], [0, 2], [1, 0], "time: not a finite number above 0 in row 0"),
        ([1.0, 2.0], [1, 2], [1, 2], "event: not 0 .* in row 1"),
        ([], [], [], "no patient"),
    ],
)
def test_malformed_patients_are_refused(risk, time, event, says: str) -> None:
    with pytest.raises(DataError, match=says):
        harrell_c(risk, time, event)
