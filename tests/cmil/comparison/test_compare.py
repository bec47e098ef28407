"""The table of a comparison holds the statistics of its parts, also where there are none."""

import math

import numpy as np
import pandas as pd
import pytest

from cmil.comparison.compare import COLUMNS, NO_SPREAD, SWAPPED, compare
from cmil.validation.auc_difference import auc_difference
from cmil.validation.discrimination import auc_delong, logit_interval
from cohorts.errors import DataError
from cohorts.strata import DEVELOPMENT, POOLED
from survival.multiplicity import adjusted_p

MODELS = {"gated_attention": "model", "mean": "aggregator", "bag size": "baseline"}


def scores_of(labels: dict[str, list[int]], models: dict[str, str] = MODELS) -> pd.DataFrame:
    """Scores by `models` of patients of the centres of `labels`; Lund is the development one."""
    rng = np.random.default_rng(0)
    tables = []
    for model, role in models.items():
        for centre, truth in labels.items():
            inside = centre == "Lund"
            tables.append(
                pd.DataFrame(
                    {
                        "patient_id": [f"{centre}-{i}" for i in range(len(truth))],
                        "centre": centre,
                        "split": "development" if inside else "external",
                        "score_kind": "oof" if inside else "external",
                        "label": truth,
                        "score": rng.uniform(size=len(truth)) * 0.8 + 0.2 * np.array(truth),
                        "model": model,
                        "role": role,
                        "model_digest": "" if role == "baseline" else f"digest of {model}",
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def compared(scores: pd.DataFrame) -> pd.DataFrame:
    return compare(scores, np.random.SeedSequence(4))


def test_every_cohort_and_model_has_its_row_and_numbers() -> None:
    truth = [0, 1] * 12
    scores = scores_of({"Lund": truth, "Bern": truth, "Oslo": truth})
    table = compared(scores)
    assert tuple(table.columns) == COLUMNS
    assert list(table["cohort"].unique()) == [DEVELOPMENT, "Bern", "Oslo", POOLED]
    for cohort, rows in table.groupby("cohort"):
        assert list(rows["model"]) == list(MODELS)
        inside = {
            DEVELOPMENT: scores["split"] == "development",
            POOLED: scores["split"] == "external",
        }.get(str(cohort), scores["centre"] == cohort)
        of = {str(name): part for name, part in scores[inside].groupby("model")}
        ours = of["gated_attention"]
        for row in rows.itertuples():
            theirs = of[str(row.model)]
            auc = auc_delong(theirs["score"], theirs["label"])
            assert (row.patients, row.positives) == (len(theirs), len(theirs) / 2)
            assert row.auc == pytest.approx(auc.value)
            limits = logit_interval(auc.value, auc.variance)
            assert (row.auc_ci_low, row.auc_ci_high) == pytest.approx(limits)
            if row.role == "model":
                assert math.isnan(row.difference) and math.isnan(row.p)
                continue
            expected = auc_difference(ours["score"], theirs["score"], ours["label"])
            assert (row.difference, row.difference_ci_low, row.difference_ci_high, row.p) == (
                expected.value,
                expected.ci_low,
                expected.ci_high,
                expected.p,
            )
    assert table["p"].notna().sum() == 8
    np.testing.assert_array_equal(table["p_holm"], adjusted_p(table["p"], "holm"))


def test_order_of_rows_makes_no_difference() -> None:
    scores = scores_of({"Lund": [0, 1] * 5, "Bern": [0, 1] * 4})
    shuffled = scores.groupby("model", sort=False, group_keys=False)[list(scores)].apply(
        lambda rows: rows.sample(frac=1, random_state=1)
    )
    pd.testing.assert_frame_equal(compared(scores), compared(shuffled))


def test_the_studys_model_comes_first() -> None:
    scores = scores_of({"Lund": [0, 1] * 5})
    turned = pd.concat([scores[scores["role"] != "model"], scores[scores["role"] == "model"]])
    assert compared(turned)["model"].iloc[0] == "gated_attention"


def test_what_cannot_be_estimated_is_said_and_not_counted() -> None:
    few_cases = [0] * 20 + [1] * 4
    scores = scores_of({"Lund": [0, 1] * 5, "Bern": [1, 1, 1], "Oslo": few_cases})
    table = compared(scores).set_index(["cohort", "model"])
    one_label = table.loc[("Bern", "mean")]
    assert one_label["note"] == "one label only: not estimable"
    few = table.loc[("Oslo", "mean")]
    assert few["note"] == "4 patients of a label, fewer than 5: not estimable"
    for row in (one_label, few):
        assert row[["auc", "auc_ci_low", "difference", "p", "p_holm"]].isna().all()
    assert table["p"].notna().sum() == 4  # development and pooled, two others each


@pytest.mark.parametrize("patients", [20, 10])
def test_identical_and_perfect_scores(patients: int) -> None:
    scores = scores_of({"Lund": [0, 1] * (patients // 2)})
    ours = scores["model"] == "gated_attention"
    scores.loc[ours, "score"] = scores.loc[ours, "label"].to_numpy() * 0.5 + 0.1
    scores.loc[scores["model"] == "mean", "score"] = scores.loc[ours, "score"].to_numpy()
    scores.loc[scores["model"] == "bag size", "score"] = 0.5
    table = compared(scores).set_index("model")
    same = table.loc["mean"]
    assert (same["difference"], same["p"], same["p_holm"]) == (0, 1, 1)
    assert same["difference_ci_low"] == same["difference_ci_high"] == 0
    constant = table.loc["bag size"]
    assert constant["difference"] == 0.5
    if patients == 20:
        assert (same["note"], constant["note"]) == ("", NO_SPREAD)
        assert math.isnan(constant["p"])
        return
    assert {same["note"], constant["note"]} == {SWAPPED}
    assert constant["p"] == pytest.approx(2 / math.comb(10, 5))  # of all labels, two part as well
    assert 0 < constant["difference_ci_low"] < constant["difference_ci_high"] <= 0.5


def test_patients_of_different_models_must_be_the_same() -> None:
    scores = scores_of({"Lund": [0, 1] * 5, "Bern": [0, 1] * 4})
    gone = (scores["model"] == "mean") & (scores["patient_id"] == "Bern-3")
    with pytest.raises(DataError, match='"Bern-3" has no score by mean'):
        compared(scores[~gone])
    with pytest.raises(DataError, match='"Bern-0" has no score by mean'):
        compared(scores[~((scores["model"] == "mean") & (scores["centre"] == "Bern"))])


def test_scores_that_flatter_and_labels_that_lack_are_refused() -> None:
    scores = scores_of({"Lund": [0, 1] * 5})
    flattered = scores.assign(score_kind="external")
    with pytest.raises(DataError, match="only out-of-fold scores"):
        compared(flattered)
    unknown = scores.assign(label=scores["label"].astype(float).where(scores.index > 0))
    with pytest.raises(DataError, match='"Lund-0" has no label'):
        compared(unknown)
