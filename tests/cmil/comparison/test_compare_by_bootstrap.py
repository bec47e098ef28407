"""Comparisons of classes and of endpoints hold what other programs find, also where nothing is."""

import math

import numpy as np
import pandas as pd
import pytest
from lifelines.utils import concordance_index
from sklearn.metrics import roc_auc_score

from cmil.comparison.compare import NO_SPREAD
from cmil.comparison.compare_by_bootstrap import COLUMNS, compare_by_bootstrap, mean_auc
from cmil.validation.bootstrap import SAMPLES, patient_weights
from cohorts.errors import DataError
from cohorts.strata import DEVELOPMENT, POOLED
from survival.multiplicity import adjusted_p

MODELS = {"gated_attention": "model", "mean": "aggregator", "bag size": "baseline"}
CLASSES = ["score_none", "score_few", "score_many"]


def scores_of(task: str, patients: dict[str, int], least: int = 0) -> pd.DataFrame:
    """Scores by `MODELS`, the first the best, of as many patients of each centre.

    With `least`, only three times as many can be of another class than the first, or have an event.
    """
    rng = np.random.default_rng(1)
    centre = np.repeat(list(patients), list(patients.values()))
    n = len(centre)
    place = np.concatenate([np.arange(size) for size in patients.values()])
    few = place >= 3 * least if least else np.zeros(n, bool)
    label = np.where(few, 0, place % 3)
    time = np.ceil(rng.exponential(20, n)) + 1
    event = (~few & (rng.random(n) < 0.8)).astype(float)
    inside = centre == "Lund"
    tables = []
    for number, (model, role) in enumerate(MODELS.items()):
        table = pd.DataFrame(
            {
                "patient_id": [f"{c}-{i}" for c, i in zip(centre, place, strict=True)],
                "centre": centre,
                "split": np.where(inside, "development", "external"),
                "score_kind": np.where(inside, "oof", "external"),
                "model": model,
                "role": role,
                "model_digest": "" if role == "baseline" else f"digest of {model}",
            }
        )
        if task == "classes":
            drawn = rng.exponential(size=(n, 3)) + (2 - number) * np.eye(3)[label]
            share = drawn / drawn.sum(axis=1, keepdims=True)
            table = table.assign(label=label, **dict(zip(CLASSES, share.T, strict=True)))
        else:
            risk = rng.normal(0, 12, n).round() - (2 - number) * time / 2
            table = table.assign(time=time, event=event, risk=risk)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def compared(scores: pd.DataFrame) -> pd.DataFrame:
    return compare_by_bootstrap(scores, np.random.SeedSequence(4))


def test_values_are_those_of_sklearn_and_lifelines() -> None:
    for task in ("classes", "endpoint"):
        scores = scores_of(task, {"Lund": 40, "Bern": 30, "Oslo": 36})
        table = compared(scores)
        assert tuple(table.columns) == COLUMNS
        assert list(table["cohort"].unique()) == [DEVELOPMENT, "Bern", "Oslo", POOLED]
        for row in table.itertuples():
            of = {DEVELOPMENT: ["Lund"], POOLED: ["Bern", "Oslo"]}.get(row.cohort, [row.cohort])
            here = scores[(scores["model"] == row.model) & scores["centre"].isin(of)]
            if task == "classes":
                known = roc_auc_score(here["label"], here[CLASSES], multi_class="ovr")
                fewest = here["label"].value_counts().min()
            else:
                known = concordance_index(here["time"], -here["risk"], here["event"])
                fewest = here["event"].sum()
            assert (row.patients, row.fewest) == (len(here), fewest)
            assert row.value == pytest.approx(known)
            assert row.ci_low < row.value < row.ci_high
        ours = table[table["role"] == "model"].set_index("cohort")["value"]
        others = table[table["role"] != "model"]
        assert others["difference"].to_numpy() == pytest.approx(
            ours[others["cohort"]].to_numpy() - others["value"]
        )
        assert table["p"].notna().sum() == len(others) == 8
        np.testing.assert_array_equal(table["p_holm"], adjusted_p(table["p"], "holm"))


def test_differences_are_those_of_patients_drawn_by_hand() -> None:
    """The same patients of every model, repeated as often as drawn, within event and centre."""
    scores = scores_of("endpoint", {"Lund": 24})
    table = compared(scores).set_index("model")
    of = {
        str(name): rows.set_index("patient_id").sort_index()
        for name, rows in scores.groupby("model")
    }
    strata = of["mean"][["event", "centre"]]
    weights = patient_weights(strata, SAMPLES, np.random.default_rng(np.random.SeedSequence(4)))

    def drawn(model: str) -> np.ndarray:
        rows = of[model][["time", "risk", "event"]].to_numpy()
        samples = (np.repeat(rows, w.astype(int), axis=0) for w in weights)
        return np.array([concordance_index(s[:, 0], -s[:, 1], s[:, 2]) for s in samples])

    apart = (drawn("gated_attention") - drawn("bag size")).round(12)
    found = table.loc["bag size"]
    limits = np.quantile(apart, [0.025, 0.975])
    assert (found["difference_ci_low"], found["difference_ci_high"]) == pytest.approx(limits)
    side = min((apart <= 0).sum(), (apart >= 0).sum())
    assert found["p"] == pytest.approx(2 * (1 + side) / (SAMPLES + 1))
    assert 0 < found["p"] < 0.5


def test_mean_auc_of_a_sample_is_that_of_its_patients() -> None:
    rng = np.random.default_rng(5)
    classes = np.arange(20) % 4
    scores = rng.dirichlet(np.ones(4), 20).round(2)
    scores[:, 0] += 1 - scores.sum(axis=1)
    weights = rng.integers(0, 3, (6, 20)).astype(float)
    weights[:, :4] += 1  # nobody's class is lost
    repeated = [np.repeat(np.arange(20), w.astype(int)) for w in weights]
    expected = [roc_auc_score(classes[r], scores[r], multi_class="ovr") for r in repeated]
    assert mean_auc(scores, classes, weights) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("task", ["classes", "endpoint"])
def test_one_seed_gives_one_table_whatever_the_order(task: str) -> None:
    scores = scores_of(task, {"Lund": 30, "Bern": 18})
    shuffled = scores.sample(frac=1, random_state=1).sort_values(
        "model", key=lambda names: names.map(list(MODELS).index), kind="stable"
    )
    pd.testing.assert_frame_equal(compared(scores), compared(shuffled))
    other = compare_by_bootstrap(scores, np.random.SeedSequence(5))
    assert not other["p"].equals(compared(scores)["p"])


@pytest.mark.parametrize(
    ("task", "who", "some"),
    [("classes", "patients of a class", 6), ("endpoint", "patients with the event", 3)],
)
def test_what_cannot_be_estimated_is_said_and_not_counted(task: str, who: str, some: int) -> None:
    table = compared(scores_of(task, {"Lund": 30}, least=1))
    fewest = table["fewest"].iloc[0]
    assert fewest < 5
    assert set(table["note"]) == {f"{fewest} {who}, fewer than 5: not estimable"}
    numbers = ["value", "ci_low", "ci_high", "difference", "difference_ci_low", "p", "p_holm"]
    assert table[numbers].isna().all(axis=None)
    doubtful = compared(scores_of(task, {"Lund": 30}, least=some))
    assert 5 <= doubtful["fewest"].iloc[0] < 10
    assert doubtful["note"].str.endswith(f"{who}, fewer than 10: intervals are too short").all()
    assert doubtful["value"].notna().all()


def test_events_that_nobody_outlived_compare_nobody() -> None:
    scores = scores_of("endpoint", {"Lund": 20}).assign(time=9.0, event=1.0)
    table = compared(scores)
    assert table["value"].isna().all()
    assert set(table["note"]) == {"no two patients can be compared: not estimable"}


def test_identical_and_perfect_scores() -> None:
    scores = scores_of("endpoint", {"Lund": 30})
    perfect = scores["model"] != "bag size"
    scores["risk"] = np.where(perfect, scores["event"] / 2 - scores["time"], 1.0)
    table = compared(scores).set_index("model")
    same, constant = table.loc["mean"], table.loc["bag size"]
    assert tuple(same[["difference", "difference_ci_low", "difference_ci_high"]]) == (0, 0, 0)
    assert (same["p"], same["p_holm"]) == (1, 1)
    assert (same["value"], same["ci_low"]) == (1, 1)
    assert same["note"] == "every pair in order: interval without width"
    assert (constant["value"], constant["difference"]) == (0.5, 0.5)
    assert constant["note"] == NO_SPREAD and math.isnan(constant["p"])


def test_scores_that_flatter_or_lack_a_patient_are_refused() -> None:
    scores = scores_of("classes", {"Lund": 30})
    with pytest.raises(DataError, match="only out-of-fold scores"):
        compared(scores.assign(score_kind="external"))
    gone = (scores["model"] == "mean") & (scores["patient_id"] == "Lund-7")
    with pytest.raises(DataError, match='"Lund-7" has no score by mean'):
        compared(scores[~gone])
