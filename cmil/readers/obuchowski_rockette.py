"""The mean AUC of readers, of whom each is a sample as the patients are.

Obuchowski & Rockette 1995 (Commun. Stat. Simul. Comput. 24:285) with the degrees of freedom of
Hillis 2007 (Stat. Med. 26:596).
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2
from scipy.stats import f as fisher
from scipy.stats import t as student

from cohorts.errors import DataError

METHOD = "Obuchowski-Rockette with Hillis' degrees of freedom, DeLong covariances"


@dataclass(frozen=True)
class VarianceComponents:
    """Of the AUC of test i and reader j, Obuchowski & Rockette 1995.

    Attributes
    ----------
    error
        Variance of an AUC over samples of patients.
    cov1, cov2, cov3
        Covariance over patients: of two tests of one reader, of two readers in one test, of
        different tests and readers.
    reader, test_reader
        Variance between readers, and of how readers take to a test; may be estimated below 0.
    """

    reader: float
    test_reader: float
    error: float
    cov1: float
    cov2: float
    cov3: float


@dataclass(frozen=True)
class MultireaderAuc:
    """Readers' mean AUC in each test and its differences, for other readers and patients alike.

    Attributes
    ----------
    of_readers
        `test, reader, auc`.
    of_tests
        `test, auc, se, df, ci_low, ci_high`, each from that test's readings only.
    differences
        `test, other, difference, se, df, t, p, ci_low, ci_high`.
    f, df, p
        Test that all tests have the same AUC, df of the denominator.
    """

    components: VarianceComponents
    of_readers: pd.DataFrame
    of_tests: pd.DataFrame
    differences: pd.DataFrame
    f: float
    df: float
    p: float
    method: str


def obuchowski_rockette(
    aucs: NDArray[np.float64],
    covariance: NDArray[np.float64],
    tests: tuple[str, ...],
    readers: tuple[str, ...],
) -> MultireaderAuc:
    """Analyse (T, R) AUCs whose (TR, TR) covariance over patients is known.

    Hillis 2007; single tests by `mean_of_readers`.

    Raises
    ------
    DataError
        If there are fewer than two tests or readers.
    """
    t, r = aucs.shape
    if t < 2 or r < 2:
        raise DataError(f"{t} test(s) and {r} reader(s); a comparison needs two of each or more")
    by_test, by_reader = aucs.mean(axis=1), aucs.mean(axis=0)
    residual = aucs - by_test[:, None] - by_reader[None] + aucs.mean()
    ms_test = r * by_test.var(ddof=1)
    ms_reader = t * by_reader.var(ddof=1)
    ms_both = float((residual**2).sum()) / ((t - 1) * (r - 1))
    shaped = covariance.reshape(t, r, t, r)
    components = _components(shaped, ms_reader, ms_both)
    denominator = ms_both + r * max(components.cov2 - components.cov3, 0.0)
    df = denominator**2 * (t - 1) * (r - 1) / ms_both**2 if ms_both > 0 else math.inf
    f = ms_test / denominator if denominator > 0 else math.nan
    named = [(test, reader) for test in tests for reader in readers]
    return MultireaderAuc(
        components=components,
        of_readers=pd.DataFrame(named, columns=["test", "reader"]).assign(auc=aucs.ravel()),
        of_tests=_single_tests(aucs, shaped, tests),
        differences=_differences(by_test, math.sqrt(2 * denominator / r), df, tests),
        f=float(f),
        df=float(df),
        p=float(fisher.sf(f, t - 1, df) if math.isfinite(df) else chi2.sf(f * (t - 1), t - 1)),
        method=METHOD,
    )


def mean_of_readers(
    values: NDArray[np.float64], covariance: NDArray[np.float64]
) -> tuple[float, float]:
    """Give the standard error of the mean of (R,) readers' values, and its degrees of freedom.

    Hillis, Berbaum & Metz 2008 (Acad. Radiol. 15:647).

    Parameters
    ----------
    covariance
        (R, R) of the values over patients.
    """
    r = len(values)
    ms = float(values.var(ddof=1))
    cov2 = float(covariance[~np.eye(r, dtype=bool)].mean())
    whole = ms + r * max(cov2, 0.0)
    df = whole**2 * (r - 1) / ms**2 if ms > 0 else math.inf
    return math.sqrt(whole / r), df


def _components(
    shaped: NDArray[np.float64], ms_reader: float, ms_both: float
) -> VarianceComponents:
    t, r = shaped.shape[:2]
    same_test = np.eye(t, dtype=bool)[:, None, :, None]
    same_reader = np.eye(r, dtype=bool)[None, :, None, :]

    def mean(tests: NDArray[np.bool_], readers: NDArray[np.bool_]) -> float:
        return float(shaped[np.broadcast_to(tests & readers, shaped.shape)].mean())

    error, cov1 = mean(same_test, same_reader), mean(~same_test, same_reader)
    cov2, cov3 = mean(same_test, ~same_reader), mean(~same_test, ~same_reader)
    return VarianceComponents(
        reader=(ms_reader - ms_both) / t - cov1 + cov3,
        test_reader=ms_both - error + cov1 + max(cov2 - cov3, 0.0),
        error=error,
        cov1=cov1,
        cov2=cov2,
        cov3=cov3,
    )


def _single_tests(
    aucs: NDArray[np.float64], shaped: NDArray[np.float64], tests: tuple[str, ...]
) -> pd.DataFrame:
    rows = []
    for number, test in enumerate(tests):
        se, df = mean_of_readers(aucs[number], shaped[number, :, number, :])
        mean, half = float(aucs[number].mean()), float(student.ppf(0.975, df)) * se
        low, high = np.clip([mean - half, mean + half], 0, 1)
        rows.append((test, mean, se, df, float(low), float(high)))
    return pd.DataFrame(rows, columns=["test", "auc", "se", "df", "ci_low", "ci_high"])


def _differences(
    means: NDArray[np.float64], se: float, df: float, tests: tuple[str, ...]
) -> pd.DataFrame:
    one, other = np.triu_indices(len(means), k=1)
    table = pd.DataFrame(
        {
            "test": np.array(tests)[one],
            "other": np.array(tests)[other],
            "difference": means[one] - means[other],
            "se": se,
            "df": df,
        }
    )
    half = float(student.ppf(0.975, df)) * se
    t = table["difference"] / se if se > 0 else table["difference"] * math.nan
    return table.assign(
        t=t,
        p=2 * student.sf(np.abs(t), df),
        ci_low=table["difference"] - half,
        ci_high=table["difference"] + half,
    )
