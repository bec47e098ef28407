"""Recalibration at a centre: as R's glm fits it, and never in place of the locked score."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from cmil.protocol.freeze import lock_study
from cmil.protocol.lock import read_lock
from cmil.protocol.log import LOG, read_log
from cmil.protocol.opening import validate_external
from cmil.protocol.recalibration import fit_line, recalibrate_external, recalibration
from cmil.results_table import recalibration_text
from cohorts.errors import DataError
from cohorts.files import digest_of_file

SCORES = [0.08, 0.12, 0.2, 0.25, 0.3, 0.41, 0.44, 0.55, 0.6, 0.62, 0.7, 0.78, 0.85, 0.91]
LABELS = [0, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1]


def table(scores, labels, centre: str = "Bern") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": [f"{centre}{i}" for i in range(len(scores))],
            "centre": centre,
            "split": "external",
            "score_kind": "external",
            "score": scores,
            "label": labels,
        }
    )


def test_fits_equal_statsmodels_glm() -> None:
    # statsmodels 0.14 GLM(family=Binomial()), which equals R's glm(family = binomial).
    offset = fit_line(SCORES, LABELS, slope=False)
    assert offset.intercept == pytest.approx(0.07481871, abs=1e-8) and offset.slope == 1
    assert offset.covariance[0, 0] ** 0.5 == pytest.approx(0.62753606, abs=1e-8)
    both = fit_line(SCORES, LABELS, slope=True)
    assert (both.intercept, both.slope) == pytest.approx((0.08804798, 1.21428172), abs=1e-8)
    errors = np.sqrt(np.diag(both.covariance))
    assert errors == pytest.approx([0.66111703, 0.6629955], abs=1e-8)


def test_table_holds_the_locked_score_first_and_its_limits() -> None:
    rows = recalibration(table(SCORES, LABELS)).set_index("recalibration")
    assert list(rows.index) == ["none (locked)", "intercept", "logistic"]
    assert rows.loc["logistic", "slope_ci_low"] == pytest.approx(-0.08516558, abs=1e-7)
    assert rows.loc["intercept", "intercept_ci_high"] == pytest.approx(1.30476678, abs=1e-7)
    brier = np.mean((np.array(SCORES) - LABELS) ** 2)
    assert rows.loc["none (locked)", "brier"] == pytest.approx(brier)
    # Intercept-only recalibration brings the mean score to the observed share.
    assert rows.loc["intercept", "mean_score"] == pytest.approx(0.5, abs=1e-9)


def test_what_is_printed_names_what_could_not_be_fitted() -> None:
    apart = table([0.1, 0.2, 0.3, 0.4, 0.45, 0.6, 0.7, 0.8, 0.85, 0.9], [0] * 5 + [1] * 5)
    text = recalibration_text(recalibration(apart))
    lines = text.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["Bern", "none"],
        ["Bern", "intercept"],
        ["Bern", "logistic"],
    ]
    assert lines[1].split()[3:5] == ["-", "-"]
    assert "0.530" in lines[1] and "0.500" in lines[1] and "nan" not in text.lower()
    assert "scores separate the labels" in text and text.endswith("Research use only.")


def test_line_undoes_what_was_done_to_the_logits() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(0, 2, 20_000)
    labels = rng.random(len(x)) < expit(0.4 + 0.6 * x)
    line = fit_line(expit(x), labels, slope=True)
    assert line.intercept == pytest.approx(0.4, abs=0.06)
    assert line.slope == pytest.approx(0.6, abs=0.04)


@pytest.mark.parametrize(
    ("scores", "labels", "says"),
    [
        ([0.1] * 6 + [0.9] * 6, [0] * 6 + [1] * 6, "separate the labels"),
        ([0.4] * 12, [0, 1] * 6, "do not vary"),
        (SCORES, [0] * 10 + [1] * 4, "fewer than 5"),
        (SCORES, [0] * 14, "0 patients of a label"),
    ],
)
def test_what_cannot_be_fitted_is_empty_with_its_reason(scores, labels, says: str) -> None:
    logistic = recalibration(table(scores, labels)).set_index("recalibration").loc["logistic"]
    assert says in logistic["note"] and pd.isna(logistic["slope"])


def test_locked_result_stays_as_it_is(copied_study, write_toy, tmp_path) -> None:
    lock_study(copied_study)
    patients = pd.DataFrame(
        {
            "patient_id": [f"X{i:02d}" for i in range(12)],
            "centre": "Bern",
            "split": "external",
            "label": [i % 2 for i in range(12)],
        }
    )
    _, bags = write_toy(tmp_path / "centre", patients, seed=5)
    out, model = tmp_path / "out", copied_study.model
    manifest = tmp_path / "centre" / "cohort.csv"
    validate_external(model, manifest, out, bags=bags)
    files = [out / "predictions.csv", *(out / "validation").iterdir(), model / "model.json"]
    before = {path: digest_of_file(path) for path in files}
    found = recalibrate_external(model, out)
    assert {path: digest_of_file(path) for path in files} == before
    assert set(found["cohort"]) == {"Bern"} and (out / "validation" / "recalibration.csv").exists()
    entries = read_log(model / LOG, read_lock(model).digest)
    assert [entry.action for entry in entries] == ["validate", "recalibrate"]
    (out / "predictions.csv").write_text("patient_id\n")
    with pytest.raises(DataError, match="changed since it was validated"):
        recalibrate_external(model, out)
