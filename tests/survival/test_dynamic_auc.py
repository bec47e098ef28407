"""Cumulative/dynamic AUC: values of R, intervals, and times at which there is none."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from survival.dynamic_auc import dynamic_auc
from survival.support import Support


@pytest.mark.shared
def test_equals_survauc_with_development_weights(reference) -> None:
    """cd_auc_whas: survAUC::AUC.uno, iAUC included; whas500, 300 patients each."""
    data = pd.DataFrame(reference("sksurv_whas500_predictions.csv").pipe(with_header_as_row))
    development, validation = data[:300], data[300:]
    found = dynamic_auc(
        validation["risk"],
        validation["time"],
        validation["event"],
        np.arange(200, 1401, 200),
        (development["time"], development["event"]),
        Support(at_risk=1, uncensored=0.0),
    )
    wanted = [0.7720669, 0.7765915, 0.7962623, 0.8759295, 0.8759295, 0.8759513, 0.9147647]
    np.testing.assert_allclose(found.table["auc"], wanted, atol=1e-6)
    assert found.integrated == pytest.approx(0.8045058, abs=1e-6)
    assert found.weights == "development"


def with_header_as_row(table: pd.DataFrame) -> pd.DataFrame:
    """The file has no header."""
    rows = [[float(name) for name in table.columns], *table.to_numpy().tolist()]
    return pd.DataFrame(rows, columns=["event", "time", "risk"])


@pytest.mark.shared
def test_equals_riskregression_with_its_standard_errors(torchsurv_lung) -> None:
    """riskRegression::Score as torchsurv's benchmark_auc.json has it, and timeROC's AUC."""
    lung = torchsurv_lung
    patients = lung["estimate"], lung["test_time"], lung["test_status"]
    found = dynamic_auc(*patients, [13, 62, 92, 163, 202, 286, 387, 457]).table
    auc = [0.7969, 0.8091, 0.6485, 0.5408, 0.4927, 0.5455, 0.4261, 0.4532]
    std_err = [0.1127, 0.0618, 0.0975, 0.0745, 0.0633, 0.0646, 0.0890, 0.1099]
    np.testing.assert_allclose(found["auc"], auc, atol=1e-4)
    np.testing.assert_allclose(found["std_err"], std_err, atol=1e-4)
    time_roc = dynamic_auc(*patients, [119, 161.6, 184.2, 255.8, 286.4, 335.4]).table
    np.testing.assert_allclose(
        time_roc["auc"], [0.6681, 0.5615, 0.5285, 0.5228, 0.5455, 0.5045], atol=1e-4
    )


def test_without_censoring_it_is_the_auc_of_the_event_by_then() -> None:
    rng = np.random.default_rng(1)
    risk = rng.integers(0, 10, 80).astype(float)
    time = rng.exponential(np.exp(-risk / 5))
    found = dynamic_auc(risk, time, np.ones(80), [0.3])
    assert found.table["auc"][0] == pytest.approx(roc_auc_score(time <= 0.3, risk))
    assert found.integrated == found.table["auc"][0]


def test_horizons_without_support_are_not_estimable_and_say_why() -> None:
    rng = np.random.default_rng(2)
    time = np.concatenate([rng.uniform(1, 2, 95), np.arange(5.1, 5.6, 0.1)])
    event = np.concatenate([np.ones(20), np.zeros(75), np.ones(5)])
    found = dynamic_auc(rng.normal(size=100), time, event, [0.5, 1.5, 1.99, 5.05])
    notes = found.table["note"].tolist()
    assert notes[0] == "not estimable: 0 cases and 100 controls"
    assert notes[1] == ""
    assert notes[3] == "not estimable: 5 at risk, fewer than 10"
    assert found.table["auc"].isna().tolist() == [True, False, bool(notes[2]), True]
    assert found.note.endswith("not estimable")
    few = Support(at_risk=1, uncensored=0.5)
    late = dynamic_auc(rng.normal(size=100), time, event, [5.2], support=few)
    assert "uncensored, less than 0.5" in late.table["note"][0]
    assert np.isnan(late.integrated)
    assert late.note == "not estimable: at no time"


def test_standard_error_is_the_spread_over_studies() -> None:
    rng = np.random.default_rng(3)
    values, errors = [], []
    for _ in range(150):
        risk = rng.normal(size=150)
        time, left = rng.exponential(np.exp(-risk)), rng.exponential(1.5, 150)
        found = dynamic_auc(risk, np.minimum(time, left), time <= left, [0.4, 0.8, 1.2])
        values.append([*found.table["auc"], found.integrated])
        errors.append([*found.table["std_err"], found.std_err])
    np.testing.assert_allclose(np.mean(errors, axis=0), np.std(values, axis=0), rtol=0.18)
