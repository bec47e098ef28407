"""A clinical score of neuroblastoma, frozen on one half of GSE49711 and validated on the other.

The public table of 498 patients has outcomes (death, progression) but no times, so nothing of
survival analysis can be said: the endpoints are logistic. Age of 18 months, stage 4 and MYCN are
weighed in data set 1 and applied to data set 2 as they are.

    python examples/gse49711.py --table gse49711_neuroblastoma_498.csv
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from cmil.validation import Questions, validate_scores
from cmil.validation.estimate import Z
from cmil.validation.logistic import LogisticFit, fit_logistic
from cmil.validation.thresholds import youden_threshold
from cohorts.splits import dealt
from survival import NeuroblastomaColumns, neuroblastoma_risk_group

COLUMNS = NeuroblastomaColumns(
    age="age at diagnosis", age_unit="days", stage="inss stage", staging="INSS", mycn="mycn status"
)
TERMS = ("18 months or older", "stage 4", "MYCN amplified")
EIGHTEEN_MONTHS = 547  # days, as Cohn et al. 2009 count them
FOLDS, SEED = 10, 0


def main() -> None:
    """Fit, freeze, validate, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--endpoint", default="death from disease")
    parser.add_argument("--samples", type=int, default=2000, help="of the bootstrap")
    arguments = parser.parse_args()
    patients = read_patients(arguments.table)
    x, y = terms_of(patients), patients[arguments.endpoint].astype(int).to_numpy()
    development = (patients["dataset"] == "1").to_numpy()
    model = fit_logistic(x[development], y[development])
    print("Odds ratios, data set 1\n")
    print(odds_ratios(model, TERMS).to_string(index=False))

    held_out = out_of_fold(x[development], y[development])
    threshold = youden_threshold(held_out, y[development])
    score = expit(x @ model.coefficients[0])
    score[development] = held_out
    predictions = pd.DataFrame(
        {
            "patient_id": patients.index,
            "centre": np.where(development, "data set 1", "data set 2"),
            "split": np.where(development, "development", "external"),
            "score_kind": np.where(development, "oof", "external"),
            "score": score,
            "label": y,
            "high risk": patients["high risk"].astype(int).to_numpy(),
        }
    )
    tables = validate_scores(
        predictions,
        {"youden": threshold},
        np.random.SeedSequence(SEED),
        Questions(comparator="high risk", samples=arguments.samples),
    )
    print(f"\nThreshold of data set 1, out of fold: {threshold:.3f}\n")
    for table in (tables.discrimination, tables.decisions, tables.calibration, tables.comparisons):
        wanted = [c for c in table if c not in {"method", "note", "threshold", "rule", "p_holm"}]
        external = table.loc[table["cohort"] == "data set 2", wanted]
        print(external.to_string(index=False, float_format="{:.3f}".format), end="\n\n")

    new = ~development
    groups = neuroblastoma_risk_group(patients[new], COLUMNS)["group"]
    group = (groups == "high").to_numpy(dtype=float)
    adjusted = np.column_stack([np.ones(new.sum()), logit(score[new]), group])
    print("Odds ratios, data set 2: the frozen score, adjusted for the known risk group\n")
    fit = fit_logistic(adjusted, y[new])
    print(odds_ratios(fit, ("score, per logit", "known group high")).to_string(index=False))


def read_patients(table: Path) -> pd.DataFrame:
    """Read the patients whose MYCN status is known, indexed by id, and say how many are not."""
    patients = pd.read_csv(table, dtype=str, keep_default_na=False).set_index("sample")
    known = patients["mycn status"] != "N/A"
    print(f"{known.sum()} patients; {(~known).sum()} without MYCN status left out\n")
    return patients[known].astype({"age at diagnosis": float})


def terms_of(patients: pd.DataFrame) -> NDArray[np.float64]:
    """(n, 4): a column of ones and `TERMS`."""
    old = patients["age at diagnosis"] >= EIGHTEEN_MONTHS
    spread, amplified = patients["inss stage"] == "4", patients["mycn status"] == "1"
    return np.column_stack([np.ones(len(patients)), old, spread, amplified]).astype(float)


def out_of_fold(x: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) probability of each patient by a model that has not seen it."""
    fold = dealt(y, FOLDS, np.random.default_rng(SEED))
    held_out = np.empty(len(y))
    for number in range(FOLDS):
        out = fold == number
        held_out[out] = expit(x[out] @ fit_logistic(x[~out], y[~out]).coefficients[0])
    return held_out


def odds_ratios(fit: LogisticFit, terms: tuple[str, ...]) -> pd.DataFrame:
    """Exponentiate the coefficients after the intercept, with Wald's 95% intervals."""
    beta, se = fit.coefficients[0, 1:], np.sqrt(np.diag(fit.covariance[0])[1:])
    limits = {"odds ratio": beta, "ci_low": beta - Z * se, "ci_high": beta + Z * se}
    return pd.DataFrame({"term": terms, **{name: np.exp(v).round(2) for name, v in limits.items()}})


if __name__ == "__main__":
    main()
