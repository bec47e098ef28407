"""From single patients to the study: means over patients, for all and by decision."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cmil.explanations.concentration import TOP_PERCENT
from cmil.explanations.faithfulness import SHARES
from cmil.explanations.over_patients import mean_over_patients
from cmil.explanations.patient_explanation import PatientExplanation

ALL = "all patients"
BY_DECISION = {1: "decided metastasis", 0: "decided no metastasis"}
# Of classes the score is the probability of the last, of an endpoint that of the event.
BY_SCORE = {1: "scored at or above the threshold", 0: "scored below the threshold"}

# Measure -> what a map would reach that knows nothing.
BY_CHANCE = {
    "deletion_gain": 0.0,
    "insertion_gain": 0.0,
    **{f"top_{percent}": percent / 100 for percent in TOP_PERCENT},
    "rank_agreement": 0.0,
    "top_agreement": 0.1,
    "truth_auc": 0.5,
}

# The others are shares and areas under a curve, from 0; the highest of all is 1.
_LOWEST = dict.fromkeys(("deletion_gain", "insertion_gain", "rank_agreement"), -1.0)

Found = Mapping[str, PatientExplanation]
"""patient_id -> what was found."""


def worth_of_maps(patients: pd.DataFrame, found: Found) -> pd.DataFrame:
    """Table what was found, one row a patient and map.

    Parameters
    ----------
    patients
        `centre, split` and, where known, `label`, indexed by patient_id.
    """
    rows = []
    for patient_id, one in found.items():
        of_patient = patients.loc[patient_id]
        for kind, worth in one.worth.items():
            said: dict[str, Any] = {"patient_id": patient_id}
            said |= {name: of_patient.get(name, "") for name in ("centre", "split", "label")}
            rows.append({**said, "decision": one.decision, "map": kind, **worth})
    # Where it is not known what is marked, the count is empty, not NaN.
    return pd.DataFrame(rows).astype({"marked_patches": "Int64"})


def effects_of_patients(found: Found) -> pd.DataFrame:
    """Table what the map that is shown looks at, one row a patient and measure."""
    rows = [
        {"patient_id": patient_id, "map": next(iter(one.worth)), "measure": measure, **effect}
        for patient_id, one in found.items()
        for measure, effect in one.effects.items()
    ]
    columns = ["patient_id", "map", "measure", "patches", "top", "rest", "difference", "auc"]
    return pd.DataFrame(rows, columns=columns).astype({"patches": int})


def summary(worth: pd.DataFrame, groups: Mapping[int, str] = BY_DECISION) -> pd.DataFrame:
    """Average every measure over patients.

    Parameters
    ----------
    worth
        From `worth_of_maps`.
    groups
        Names of the patients of a decision.

    Returns
    -------
    DataFrame
        `map, patients_of, measure, patients, mean, ci_low, ci_high, by_chance`; `patients_of` is
        all patients, or those of one decision. A measure known of no patient has no row.
    """
    rows = []
    for kind, of_map in worth.groupby("map", sort=False):
        of_groups = {ALL: of_map} | {
            name: of_map[of_map["decision"] == decision] for decision, name in groups.items()
        }
        for name, group in of_groups.items():
            for measure, by_chance in BY_CHANCE.items():
                found = mean_over_patients(group[measure], by_chance)
                found = found.within(_LOWEST.get(measure, 0.0), 1.0)
                if found.patients:
                    interval = [found.mean, found.ci_low, found.ci_high]
                    rows.append([kind, name, measure, found.patients, *interval, by_chance])
    columns = ["map", "patients_of", "measure", "patients", "mean", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=[*columns, "by_chance"])


def mean_curves(found: Found, groups: Mapping[int, str] = BY_DECISION) -> pd.DataFrame:
    """Average deletion and insertion curves over patients, pointwise.

    Parameters
    ----------
    groups
        Names of the patients of a decision.

    Returns
    -------
    DataFrame
        `map, patients_of, curve, order, share, patients, mean, ci_low, ci_high`: `curve` is
        `deletion` or `insertion`, `order` is `map` or `random`, `share` of patches gone or there.
    """
    rows = []
    for kind in dict.fromkeys(kind for one in found.values() for kind in one.curves):
        for decision, name in ((None, ALL), *groups.items()):
            curves = [
                one.curves[kind]
                for one in found.values()
                if kind in one.curves and decision in {None, one.decision}
            ]
            for curve in ("deletion", "insertion"):
                for order, field in (("map", curve), ("random", f"random_{curve}")):
                    points = np.array([getattr(one, field) for one in curves])
                    for share, values in zip(SHARES, points.T, strict=False):
                        at = mean_over_patients(values).within(0, 1)
                        interval = [at.patients, at.mean, at.ci_low, at.ci_high]
                        rows.append([kind, name, curve, order, share, *interval])
    columns = ["map", "patients_of", "curve", "order", "share", "patients", "mean"]
    return pd.DataFrame(rows, columns=[*columns, "ci_low", "ci_high"])
