"""Whether referral keeps its promise: wrong answers by simulation where patients are exchangeable.

Development and external patients are drawn from one distribution of scores, or, for contrast,
from one in which a centre's scores are shifted: there nothing is promised. Of each class the
share answered wrongly is given, mean and standard error over samples, beside the rate asked for
and the share answered. The last rows are the rule for the error of those answered, which holds
in a share of samples, not on average.

    python benchmarks/conformal_coverage.py
    python benchmarks/conformal_coverage.py --samples 100
"""

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from cmil.referral.conformal import METASTASIS, NONE, REFER, conformal_rule
from cmil.referral.selective_error import selective_rule

THRESHOLD = 0.5
EXTERNAL = 2000


def main() -> None:
    """Print one table a kind of rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--patients", type=int, nargs="+", default=[60, 94, 205])
    parser.add_argument("--aucs", type=float, nargs="+", default=[0.8, 0.9])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    of_classes, of_answered = [], []
    for patients in given.patients:
        for auc in given.aucs:
            for shift in (0.0, 1.0):
                of_classes += list(rates(patients, auc, shift, given.samples, rng))
            of_answered.append(selective(patients, auc, given.samples, rng))
    for rows in (of_classes, of_answered):
        print(pd.DataFrame(rows).to_string(index=False, float_format="{:.4f}".format), end="\n\n")


def draw(
    patients: int, auc: float, shift: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw binormal scores with this AUC, half of the patients positive."""
    labels = np.arange(patients) % 2
    apart = np.sqrt(2) * norm.ppf(auc)
    return expit(rng.normal(size=patients) + apart * (labels - 0.5) + shift), labels


def rates(
    patients: int, auc: float, shift: float, samples: int, rng: np.random.Generator
) -> Iterator[dict[str, object]]:
    """Shares answered wrongly of each class by rules fitted on that many patients."""
    for rate in (0.05, 0.1):
        missed, alarmed, answered = np.zeros((3, samples))
        for sample in range(samples):
            scores, labels = draw(patients, auc, 0, rng)
            rule = conformal_rule(scores, labels, THRESHOLD, miss_rate=rate, false_alarm_rate=rate)
            new, truth = draw(EXTERNAL, auc, shift, rng)
            answers = rule(new)
            missed[sample] = (answers[truth == 1] == NONE).mean()
            alarmed[sample] = (answers[truth == 0] == METASTASIS).mean()
            answered[sample] = (answers != REFER).mean()
        yield {
            "patients": patients,
            "auc": auc,
            "shift": shift,
            "rate": rate,
            "missed": missed.mean(),
            "missed_se": missed.std() / np.sqrt(samples),
            "false_alarm": alarmed.mean(),
            "false_alarm_se": alarmed.std() / np.sqrt(samples),
            "coverage": answered.mean(),
        }


def selective(
    patients: int, auc: float, samples: int, rng: np.random.Generator
) -> dict[str, object]:
    """Give the share of samples in which those answered are wrong more often than asked."""
    rate, confidence, broken, answering = 0.2, 0.9, 0, 0
    for _ in range(samples):
        scores, labels = draw(patients, auc, 0, rng)
        rule = selective_rule(scores, labels, THRESHOLD, error_rate=rate, confidence=confidence)
        new, truth = draw(EXTERNAL, auc, 0, rng)
        answers = rule(new)
        answered = answers != REFER
        answering += bool(answered.any())
        wrong = (answers == METASTASIS) != (truth == 1)
        broken += bool(answered.any() and wrong[answered].mean() > rate)
    return {
        "patients": patients,
        "auc": auc,
        "error_rate": rate,
        "confidence": confidence,
        "answers_in": answering / samples,
        "broken_in": broken / samples,
    }


if __name__ == "__main__":
    main()
