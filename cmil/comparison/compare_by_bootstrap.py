"""The model beside others where the truth is one of several classes, or a time and an event.

One bootstrap over the patients of a cohort serves all its models, so their differences are paired.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cmil.comparison.compare import MODEL, NO_SPREAD, aligned_cohorts
from cmil.concordance import concordance
from cmil.validation.bootstrap import SAMPLES, patient_weights
from cmil.validation.discrimination import FEW, FEWEST
from cmil.validation.estimate import Estimate, from_bootstrap, not_estimable
from cmil.validation.roc_samples import area, roc_samples
from survival.concordance import weighted_c
from survival.multiplicity import adjusted_p

MEAN_AUC, CONCORDANCE = "mean AUC of the classes", "concordance"

COLUMNS = (
    "cohort",
    "model",
    "role",
    "measure",
    "patients",
    "fewest",
    "value",
    "ci_low",
    "ci_high",
    "difference",
    "difference_ci_low",
    "difference_ci_high",
    "p",
    "p_holm",
    "note",
    "model_digest",
)

_BOOTSTRAP = "percentile bootstrap over patients, by outcome and centre"
_JACKKNIFE = "infinitesimal jackknife"
# Blocks of samples, so that a cohort of any size takes little memory.
_BLOCK = 250
# Differences closer to 0 than they are worked out are on neither side of it.
_DECIMALS = 12
_NONE = not_estimable("", "")


def compare_by_bootstrap(scores: pd.DataFrame, seed: np.random.SeedSequence) -> pd.DataFrame:
    """Give how well every model tells patients apart, and what the study's model has more of it.

    Parameters
    ----------
    scores
        One row a patient and model: `patient_id, centre, split, score_kind, model, role,
        model_digest`, roles as in `compare`. Of classes `label`, from 0, and a column `score_...`
        for each class in their order; of an endpoint `time, event`, and `risk`.
    seed
        Of the bootstrap: of each cohort one, that all its models share.

    Returns
    -------
    DataFrame
        One row a cohort and model, in the order of `scores`, the study's model first: `cohort,
        model, role`; `measure`; `patients`, and `fewest`, those of the rarest class, or with the
        event; `value, ci_low, ci_high`, of classes as `mean_auc` with percentiles, of an endpoint
        as `cmil.concordance`; `difference`, the value of the study's model less this one's, with
        percentiles as `_ci_low`, `_ci_high`, and two-sided `p`, twice the smaller share of samples
        on one side of 0, the patients themselves counted as one (Davison & Hinkley 1997, Bootstrap
        Methods, eq. 4.11); `p_holm` (Holm, over all differences of the table); `note`, which says
        why a number is missing, or doubtful; `model_digest`.

    Raises
    ------
    DataError
        If a model did not score the same patients, or a development score is not out-of-fold.
    """
    rows = []
    for cohort, tables in aligned_cohorts(scores):
        # One seed gives one table, whatever the order of the rows.
        ordered = [table.sort_index() for table in tables]
        rows += [{"cohort": cohort, **row} for row in _rows(ordered, np.random.default_rng(seed))]
    table = pd.DataFrame(rows)
    return table.assign(p_holm=adjusted_p(table["p"], "holm"))[list(COLUMNS)]


def mean_auc(
    scores: NDArray[np.float64], classes: ArrayLike, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean AUC of each class against the others, in many samples at once: (B,).

    Every class counts the same. Equals scikit-learn's `roc_auc_score(multi_class="ovr",
    average="macro")`, and is what `cmil.heads.Classes.discrimination` gives.

    Parameters
    ----------
    scores
        (n, K) higher means more likely of that class.
    classes
        (n,) from 0 to K - 1; all must occur.
    weights
        (B, n) as `patient_weights` gives them; ones for the patients themselves.

    Raises
    ------
    DataError
        If a class is absent.
    """
    truth = np.asarray(classes)
    areas = [area(roc_samples(scores[:, k], truth == k, weights)) for k in range(scores.shape[1])]
    return np.asarray(np.mean(areas, axis=0))


def _rows(tables: Sequence[pd.DataFrame], rng: np.random.Generator) -> list[dict[str, object]]:
    """Rows of one cohort, in the order of the models' tables."""
    counts, what = _counts(tables[0])
    fewest = int(counts.min())
    shared = {
        "measure": CONCORDANCE if "time" in tables[0] else MEAN_AUC,
        "patients": len(tables[0]),
        "fewest": fewest,
    }
    if fewest < FEWEST:
        missing = not_estimable("", f"{fewest} {what}, fewer than {FEWEST}: not estimable")
        return [{**shared, **_row(table, missing)} for table in tables]
    doubt = f"{fewest} {what}, fewer than {FEW}: intervals are too short" if fewest < FEW else ""
    outcome = tables[0]["event" if "time" in tables[0] else "label"]
    strata = pd.DataFrame({"outcome": outcome, "centre": tables[0]["centre"]})
    weights = patient_weights(strata, SAMPLES, rng)
    rows: list[dict[str, object]] = []
    for table in tables:
        samples = _in_samples(table, weights)
        value = _estimate(table, samples)
        if table["role"].iloc[0] == MODEL:
            ours, ours_in_samples = value, samples
        if table["role"].iloc[0] == MODEL or math.isnan(value.value):
            rows.append({**shared, **_row(table, value, doubt=doubt)})
            continue
        found, p = _difference(ours.value - value.value, ours_in_samples - samples)
        rows.append({**shared, **_row(table, value, found, p, doubt)})
    return rows


def _counts(table: pd.DataFrame) -> tuple[NDArray[np.int64], str]:
    """Count the patients whose number decides what can be estimated, and say who they are."""
    if "time" in table:
        return np.array([int((table["event"] == 1).sum())]), "patients with the event"
    kinds = _class_scores(table).shape[1]
    return np.bincount(table["label"].astype(int), minlength=kinds), "patients of a class"


def _row(
    table: pd.DataFrame,
    value: Estimate,
    difference: Estimate = _NONE,
    p: float = math.nan,
    doubt: str = "",
) -> dict[str, object]:
    notes = dict.fromkeys([value.note, difference.note, doubt])
    return {
        "model": table["model"].iloc[0],
        "role": table["role"].iloc[0],
        "value": value.value,
        "ci_low": value.ci_low,
        "ci_high": value.ci_high,
        "difference": difference.value,
        "difference_ci_low": difference.ci_low,
        "difference_ci_high": difference.ci_high,
        "p": p,
        "note": "; ".join(note for note in notes if note),
        "model_digest": table["model_digest"].iloc[0],
    }


def _class_scores(table: pd.DataFrame) -> NDArray[np.float64]:
    return table.filter(regex="^score_(?!kind$)").to_numpy(dtype=np.float64)


def _in_samples(table: pd.DataFrame, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure one model in each sample, (B,)."""
    parts = []
    for first in range(0, len(weights), _BLOCK):
        block = weights[first : first + _BLOCK]
        if "time" in table:
            risk, time, event = (
                table[name].to_numpy(dtype=np.float64) for name in ("risk", "time", "event")
            )
            parts.append(weighted_c(risk, time, event, block))
        else:
            parts.append(mean_auc(_class_scores(table), table["label"], block))
    return np.concatenate(parts)


def _estimate(table: pd.DataFrame, samples: NDArray[np.float64]) -> Estimate:
    """Give the model's own value: of an endpoint with the interval that `model.json` has."""
    if "time" not in table:
        own = float(_in_samples(table, np.ones((1, len(table))))[0])
        return replace(from_bootstrap(own, samples, _BOOTSTRAP), note=_in_order(own))
    found = concordance(table["risk"], table["time"], table["event"])
    if math.isnan(found.value):
        return not_estimable(_JACKKNIFE, "no two patients can be compared: not estimable")
    limits = found.ci_low, found.ci_high
    return Estimate(found.value, *limits, _JACKKNIFE, _in_order(found.value))


def _in_order(value: float) -> str:
    """Say where neither bootstrap nor jackknife finds a spread."""
    return "every pair in order: interval without width" if value in (0, 1) else ""


def _difference(value: float, samples: NDArray[np.float64]) -> tuple[Estimate, float]:
    """Give a difference its percentiles, and the p of 0."""
    apart = samples.round(_DECIMALS)
    if round(value, _DECIMALS) and np.ptp(apart) == 0:
        return Estimate(value, math.nan, math.nan, _BOOTSTRAP, NO_SPREAD), math.nan
    found = from_bootstrap(value, samples, _BOOTSTRAP)
    if math.isnan(found.ci_low):
        return found, math.nan
    known = apart[np.isfinite(apart)]
    side = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return found, min(1.0, 2 * (1 + side) / (1 + len(known)))
