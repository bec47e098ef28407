import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmil.readers.paired_decisions import (
    against_readers,
    mcnemar,
    paired_difference,
    tango_interval,
)
from cmil.readers.ratings import Readings
from cohorts.errors import DataError


@pytest.mark.parametrize(
    ("only_other", "only_one", "pairs", "low", "high"),
    [
        (40, 20, 160, -0.21806423366069794, -0.030864588916301727),
        (0, 0, 100, -0.03699350357055664, 0.036993443965911865),
        (1, 7, 50, 0.011619682312011706, 0.24658078670501707),
        (5, 0, 25, -0.39130954742431645, -0.0401693105697632),
        (2, 2, 30, -0.1621800661087036, 0.16218000650405884),
        (50, 0, 50, -1.0, -0.8573047518730164),
        (11, 4, 320, -0.04968377873301506, 0.00209718327969313),
    ],
)
def test_equals_propcis(
    only_other: int, only_one: int, pairs: int, low: float, high: float
) -> None:
    """R: PropCIs 0.3-0, scoreci.mp(only_other, only_one, pairs, 0.95), exact to about 1e-7."""
    assert tango_interval(only_one, only_other, pairs) == pytest.approx((low, high), abs=3e-7)


def test_airway_example_of_fagerland() -> None:
    """1, 1, 7, 12 of 21 children, Fagerland et al. 2014: Tango -0.517 to -0.026."""
    one = [1, 1] + [0] * 19
    other = [1, 0] + [1] * 7 + [0] * 12
    found = paired_difference(one, other)
    assert found.value == pytest.approx(-6 / 21)
    assert (found.ci_low, found.ci_high) == pytest.approx((-0.517, -0.026), abs=5e-4)
    # By hand: (1 + 8) / 2^8 * 2 = 18 / 256, less 8 / 256; chi2 = 36 / 8.
    assert found.test.p_exact == pytest.approx(18 / 256)
    assert found.test.p_mid == pytest.approx(10 / 256)
    assert found.test.chi2 == 4.5
    assert found.test.p_asymptotic == pytest.approx(0.0338949, abs=1e-7)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_interval_changes_sign_with_the_order_and_holds_the_estimate(
    only_one: int, only_other: int, same: int
) -> None:
    pairs = only_one + only_other + same
    if pairs == 0:
        return
    low, high = tango_interval(only_one, only_other, pairs)
    back = tango_interval(only_other, only_one, pairs)
    assert (low, high) == pytest.approx((-back[1], -back[0]), abs=1e-8)
    assert -1 <= low <= (only_one - only_other) / pairs <= high <= 1
    test = mcnemar(only_one, only_other)
    assert test.p_mid <= test.p_exact
    # The interval is the score test turned round, and that at 0 is McNemar's.
    if test.p_asymptotic < 0.0499:
        assert low > 0 or high < 0
    elif test.p_asymptotic > 0.0501:
        assert low <= 0 <= high


def test_no_discordant_patient_is_no_evidence() -> None:
    test = mcnemar(0, 0)
    assert (test.p_exact, test.p_mid) == (1, 1)
    assert math.isnan(test.chi2)
    # As many of one as of the other: mid-p is 1 less half of that point's probability.
    assert mcnemar(1, 1).p_mid == pytest.approx(0.75)


def test_model_against_two_readers() -> None:
    """Patients 0 to 3 have metastasis; the model finds 3, reader X 2, reader Y all."""
    labels = [1, 1, 1, 1, 0, 0, 0]
    model = [1, 1, 1, 0, 0, 0, 1]
    said = np.array([[1, 0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]], dtype=float)
    table = against_readers(model, Readings(("X", "Y"), tuple("abcdefg"), said), labels)
    table = table.set_index(["reader", "measure"])
    first = table.loc[("X", "sensitivity")]
    assert (first["model"], first["reader_value"], first["difference"]) == (0.75, 0.5, 0.25)
    assert (first["only_model"], first["only_reader"], first["patients"]) == (2, 1, 4)
    second = table.loc[("Y", "specificity")]
    assert second["difference"] == pytest.approx(1 / 3)
    assert (second["only_model"], second["only_reader"]) == (2, 1)


def test_a_class_without_patients_has_no_difference() -> None:
    readings = Readings(("X",), ("a", "b"), np.array([[1.0, 0.0]]))
    table = against_readers([1, 1], readings, [1, 1]).set_index("measure")
    assert math.isnan(table.loc["specificity", "difference"])
    assert math.isnan(table.loc["specificity", "p_exact"])
    assert table.loc["specificity", "note"] == "no patient of this class"
    with pytest.raises(DataError, match="2 decisions, 1 labels and 2 patients"):
        against_readers([1, 1], readings, [1])
    with pytest.raises(DataError, match="neither 0 nor 1"):
        against_readers([1, 1], readings, [1, 2])
