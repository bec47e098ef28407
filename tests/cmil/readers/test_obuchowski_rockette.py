"""Van Dyke et al. 1993: five readers, two kinds of MRI, 45 patients with and 69 without dissection.

AUCs, covariances and answers are of the MRMCaov user guide (Smith, Hillis & Pesce).
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from cmil.readers.obuchowski_rockette import obuchowski_rockette

PRINTED = [
    [0.91964573, 0.85877617, 0.90386473, 0.97310789, 0.82979066],
    [0.94782609, 0.90531401, 0.92173913, 0.99935588, 0.92995169],
]
# Printed to eight digits; in truth halves of 45 * 69 pairs.
AUCS = np.round(np.array(PRINTED) * 2 * 45 * 69) / (2 * 45 * 69)
TESTS, READERS = ("1", "2"), tuple("12345")


def covariance(error: float, cov1: float, cov2: list[float], cov3: float) -> NDArray[np.float64]:
    shaped = np.full((2, 5, 2, 5), cov3)
    for test in range(2):
        shaped[test, :, test, :] = cov2[test]
        for reader in range(5):
            shaped[test, reader, 1 - test, reader] = cov1
            shaped[test, reader, test, reader] = error
    return shaped.reshape(10, 10)


def test_equals_mrmcaov_with_delong_covariances() -> None:
    """R: summary(mrmc(empirical_auc(truth, rating), treatment, reader, case, cov = DeLong))."""
    cov2 = [0.0004775239, 0.0002015292]
    found = obuchowski_rockette(
        AUCS, covariance(0.0007921325, 0.0003420090, cov2, 0.0002358497), TESTS, READERS
    )
    parts = found.components
    assert parts.cov2 == pytest.approx(0.0003395265, abs=1e-9)
    assert parts.reader == pytest.approx(0.0015364254, abs=1e-9)
    assert parts.test_reader == pytest.approx(0.0002045840, abs=1e-9)
    assert (found.f, found.df, found.p) == pytest.approx((4.484854, 15.06611, 0.05123303), rel=1e-5)
    difference = found.differences.loc[0, ["difference", "se", "t", "p", "ci_low", "ci_high"]]
    assert tuple(difference) == pytest.approx(
        (-0.04380032, 0.0206825, -2.117747, 0.05123303, -0.0878671960, 0.0002665519), abs=1e-6
    )
    columns = ["auc", "se", "df", "ci_low", "ci_high"]
    assert tuple(found.of_tests.loc[0, columns]) == pytest.approx(
        (0.8970370, 0.03307642, 12.59597, 0.8253461, 0.9687280), rel=1e-6
    )
    assert tuple(found.of_tests.loc[1, columns]) == pytest.approx(
        (0.9408374, 0.02150464, 12.56530, 0.8942155, 0.9874592), rel=1e-6
    )


def test_equals_mrmcaov_with_jackknife_covariances() -> None:
    """R: summary(mrmc(empirical_auc(truth, rating), treatment, reader, case))."""
    cov2 = [0.0004839618, 0.0002041879]
    found = obuchowski_rockette(
        AUCS, covariance(0.0008022883, 0.0003466137, cov2, 0.0002390284), TESTS, READERS
    )
    assert (found.f, found.df, found.p) == pytest.approx((4.456319, 15.25967, 0.05166569), rel=1e-5)
    assert tuple(found.of_tests["df"]) == pytest.approx((12.74465, 12.71019), rel=1e-5)
