"""A development cohort and four external centres, scored a little too boldly."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

SIZES = {"Lund": 120, "Bern": 90, "Graz": 60, "Oslo": 40, "Ulm": 12}


@pytest.fixture(scope="session")
def study() -> pd.DataFrame:
    """Predictions with a comparator `clinical` and a subgroup `sex`; Ulm has few positives."""
    random = np.random.default_rng(11)
    centre = np.repeat(list(SIZES), list(SIZES.values()))
    n = len(centre)
    truth = random.normal(-0.5, 1.5, n)
    label = (random.random(n) < expit(truth)).astype(int)
    ulm = np.flatnonzero(centre == "Ulm")
    label[ulm] = 0
    label[ulm[:3]] = 1
    development = centre == "Lund"
    return pd.DataFrame(
        {
            "patient_id": [f"P{i:03d}" for i in range(n)],
            "centre": centre,
            "split": np.where(development, "development", "external"),
            "score_kind": np.where(development, "oof", "external"),
            "score": expit(1.3 * truth + random.normal(0, 0.5, n)),
            "label": label,
            "clinical": expit(truth + random.normal(0, 2, n)),
            "sex": random.choice(["f", "m"], n),
        }
    )
