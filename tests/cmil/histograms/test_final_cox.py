"""The Cox model of selected features."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter

from cmil.histograms.final_cox import FinalCox


def test_is_that_of_lifelines_on_features_as_they_are() -> None:
    rng = np.random.default_rng(0)
    features = np.hstack([rng.normal(5, 0.01, (80, 2)), np.full((80, 1), np.log(40))])
    time = rng.exponential(np.exp(-80 * (features[:, 0] - 5)))
    truth = np.stack([time, rng.integers(2, size=80)], axis=1).astype(float)
    cox = FinalCox(features, truth)
    scaled = (features[:, :2] - features[:, :2].mean(axis=0)) / features[:, :2].std(axis=0)
    table = pd.DataFrame(np.hstack([scaled, truth]), columns=["a", "b", "time", "event"])
    theirs = CoxPHFitter(penalizer=0.1).fit(table, "time", "event")
    expected = theirs.predict_log_partial_hazard(table).to_numpy()
    np.testing.assert_allclose(cox.logits(features)[:, 0], expected, atol=1e-6)
    assert cox.weights[2, 0] == 0
    assert cox.logits(features).mean() == pytest.approx(0, abs=1e-9)
