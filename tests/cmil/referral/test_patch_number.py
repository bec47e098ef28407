import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cmil.bundle import ModelBundle
from cmil.patient_bags import PatientBag, PatientBags
from cmil.prediction import predict_patient
from cmil.referral.patch_number import (
    patches_needed,
    score_parts,
    stability,
    subset_scorer,
    subset_scores,
)
from cohorts.errors import DataError


def test_whole_bag_is_scored_as_the_prediction_scores_it(
    trained: tuple[ModelBundle, Path], toy_bags: PatientBags
) -> None:
    """A development patient by the models unaware of it, an external one by all."""
    bundle = trained[0]
    for patient in ("P00", "P20"):
        bag = toy_bags.bags[patient]
        found = subset_scorer(bundle, patient, bag)([np.arange(len(bag))])
        assert found[0] == pytest.approx(predict_patient(bundle, patient, bag).score, abs=1e-6)


def test_subset_is_scored_as_a_bag_of_its_own(
    trained: tuple[ModelBundle, Path], toy_bags: PatientBags
) -> None:
    bundle, bag = trained[0], toy_bags.bags["P20"]
    rows = np.array([1, 4, 7])
    alone = PatientBag(bag.instances[torch.from_numpy(rows)], {})
    found = subset_scorer(bundle, "P20", bag)([rows])
    assert found[0] == pytest.approx(predict_patient(bundle, "P20", alone).score, abs=1e-6)


def test_spread_of_a_mean_is_that_of_sampling_without_replacement() -> None:
    """sd / sqrt(n) * sqrt(1 - n / N), Cochran 1977, theorem 2.2."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    drawn = subset_scores(
        lambda subsets: np.array([values[rows].mean() for rows in subsets]),
        400,
        rng,
        sizes=(50, 200, 300),
        draws=4000,
    )
    spread = drawn.groupby("patches")["score"].std()
    assert list(spread.index) == [50, 200]  # 300 is more than half of the bag
    for size, found in spread.items():
        expected = values.std(ddof=1) / math.sqrt(size) * math.sqrt(1 - size / 400)
        assert found == pytest.approx(expected, rel=0.05)
    assert (drawn["whole"] == values.mean()).all()


def test_parts_of_a_patient_do_not_depend_on_the_others(
    trained: tuple[ModelBundle, Path], toy_bags: PatientBags
) -> None:
    bundle = trained[0]
    both = {patient: toy_bags.bags[patient] for patient in ("P00", "P20")}
    table = score_parts(bundle, both, seed=1, sizes=(2, 5), draws=3)
    alone = score_parts(bundle, {"P20": both["P20"]}, seed=1, sizes=(2, 5), draws=3)
    assert len(table) == 12
    pd.testing.assert_frame_equal(table[table["patient_id"] == "P20"].reset_index(drop=True), alone)


def scores(draws: dict[str, list[float]], whole: float) -> pd.DataFrame:
    rows = [
        {"patient_id": patient, "patches": 50, "draw": i, "score": score, "whole": whole}
        for patient, given in draws.items()
        for i, score in enumerate(given)
    ]
    return pd.DataFrame(rows)


def test_summary_over_patients() -> None:
    """By hand; R: t.test(c(0.1, 0.2, 0))$conf.int is (-0.1484, 0.3484), t.test(c(.5, .5, 0)).

    Draws of 0.4 and 0.6 lie either side of the threshold, whose whole bag is above it.
    """
    half = math.sqrt(0.5)
    table = scores(
        {
            "A": [0.6 - 0.1 * half, 0.6 + 0.1 * half],
            "B": [0.6 - 0.2 * half, 0.6 + 0.2 * half],
            "C": [0.6, 0.6],
        },
        0.6,
    )
    found = stability(table, 0.55).loc[0]
    assert found["sd"] == pytest.approx(0.1)
    assert (found["sd_ci_low"], found["sd_ci_high"]) == pytest.approx((0, 0.3484138), abs=1e-6)
    assert found["flips"] == pytest.approx(1 / 3)
    assert found["bias"] == pytest.approx(0)


def test_enough_is_where_decisions_stay_from_then_on() -> None:
    table = pd.DataFrame({"patches": [50, 100, 200, 500], "flips_ci_high": [0.2, 0.03, 0.06, 0.01]})
    assert patches_needed(table, 0.05) == 500
    assert patches_needed(table, 0.1) == 100
    assert patches_needed(table, 0.001) is None


def test_a_single_draw_has_no_spread() -> None:
    with pytest.raises(DataError, match="two draws"):
        stability(scores({"A": [0.5]}, 0.5), 0.5)
