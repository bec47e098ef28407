"""Losses against R, lifelines, scikit-learn and formulas worked out by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from lifelines.datasets import load_rossi
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from cmil.heads import Binary, Classes, Cox, DiscreteHazard, Head, fit_head
from cmil.settings import MilSettings
from cohorts.errors import DataError

# R: coxph(Surv(week, arrest) ~ fin + age + race + wexp + mar + paro + prio), ties by Efron.
ROSSI = [-0.3794222, -0.0574377, 0.3138998, -0.1497957, -0.4337039, -0.0848711, 0.0914971]
ROSSI_LOG_LIKELIHOOD = -658.7477


@pytest.fixture(scope="module")
def rossi() -> pd.DataFrame:
    return load_rossi()


def of_rossi(rossi: pd.DataFrame) -> tuple[Tensor, Tensor]:
    terms = torch.tensor(rossi[["fin", "age", "race", "wexp", "mar", "paro", "prio"]].to_numpy())
    logits = (terms.double() @ torch.tensor(ROSSI, dtype=torch.float64))[:, None]
    return logits, torch.tensor(rossi[["week", "arrest"]].to_numpy(), dtype=torch.float64)


def test_cox_is_the_partial_likelihood_of_r_with_efrons_ties(rossi: pd.DataFrame) -> None:
    logits, truth = of_rossi(rossi)
    events = rossi["arrest"].sum()
    likelihood = -float(Cox().loss(logits, truth)) * events
    assert likelihood == pytest.approx(ROSSI_LOG_LIKELIHOOD, abs=5e-5)


def test_cox_has_no_slope_where_r_has_its_estimate(rossi: pd.DataFrame) -> None:
    terms = torch.tensor(rossi[["fin", "age", "race", "wexp", "mar", "paro", "prio"]].to_numpy())
    coefficients = torch.tensor(ROSSI, dtype=torch.float64, requires_grad=True)
    _, truth = of_rossi(rossi)
    Cox().loss((terms.double() @ coefficients)[:, None], truth).backward()
    assert coefficients.grad.abs().max() < 1e-5


def test_cox_knows_neither_a_shift_nor_the_order_of_patients(rossi: pd.DataFrame) -> None:
    logits, truth = of_rossi(rossi)
    expected = float(Cox().loss(logits, truth))
    turned = torch.randperm(len(truth), generator=torch.Generator().manual_seed(0))
    assert float(Cox().loss(logits[turned] + 300, truth[turned])) == pytest.approx(expected)


def test_batch_without_an_event_teaches_cox_nothing() -> None:
    logits = torch.tensor([[1.0], [2.0]], requires_grad=True)
    loss = Cox().loss(logits, torch.tensor([[3.0, 0.0], [5.0, 0.0]]))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad.tolist() == [[0], [0]]


def test_discrete_hazard_is_the_likelihood_of_intervals_lived_through() -> None:
    """Ends 2, 4, 8; hazards 0.5, 0.2 and 0.1 for everyone."""
    head = DiscreteHazard((2.0, 4.0, 8.0), horizon=3.0)
    hazards = torch.tensor([0.5, 0.2, 0.1])
    logits = torch.logit(hazards).expand(5, 3)
    cases = {
        (1.0, 1): 0.5,
        (4.0, 1): 0.5 * 0.2,  # an interval is closed on the right
        (3.5, 0): 0.5 * 0.8,  # more than half of the second lived through
        (0.5, 0): 1.0,
        (9.0, 1): 0.5 * 0.8 * 0.9,  # after the last interval
    }
    truth = torch.tensor([list(case) for case in cases])
    expected = -np.mean(np.log(list(cases.values())))
    assert float(head.loss(logits, truth)) == pytest.approx(expected, rel=1e-6)


def test_discrete_hazard_ranks_by_the_hazard_by_the_horizon() -> None:
    head = DiscreteHazard((2.0, 4.0, 8.0), horizon=3.0)
    hazards = np.array([[0.5, 0.2, 0.1]])
    # All of the first interval and half of the second.
    survived = 0.5 * 0.8**0.5
    (rank,) = head.rank(np.log(hazards / (1 - hazards)))
    assert 1 - np.exp(-np.exp(rank)) == pytest.approx(1 - survived)


def test_time_bins_hold_equally_many_training_events() -> None:
    times = np.arange(1.0, 13)
    truth = np.column_stack([np.r_[times, 100.0], np.r_[np.ones(12), 0]])
    head = DiscreteHazard.fit(truth, bins=4, horizon=5)
    counts = np.histogram(times, np.r_[0, head.ends] + 1e-9)[0]
    assert counts.tolist() == [3, 3, 3, 3]
    with pytest.raises(DataError, match="2 different times, too few for 4 intervals"):
        DiscreteHazard.fit(np.array([[1.0, 1], [2, 1], [2, 1]]), bins=4, horizon=1)
    with pytest.raises(DataError, match="12 different times, too few for 13 intervals"):
        DiscreteHazard.fit(truth, bins=13, horizon=5)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=40), st.integers(2, 9))
def test_every_interval_holds_an_event_however_many_fall_on_one_day(
    months: list[int], bins: int
) -> None:
    assume(len(set(months)) >= bins)
    times = np.array(months, dtype=float)
    truth = np.column_stack([np.append(times, 50.0), np.append(np.ones(len(times)), 0)])
    ends = np.array(DiscreteHazard.fit(truth, bins=bins, horizon=5.0).ends)
    held = np.bincount(np.searchsorted(ends, times), minlength=bins)
    assert len(ends) == len(held) == bins
    assert (held > 0).all() and ends[-1] == times.max()


def test_intervals_end_at_times_that_share_the_events_evenly() -> None:
    times = np.repeat([1.0, 2, 3, 4, 5], [14, 1, 2, 1, 2])
    truth = np.column_stack([times, np.ones(20)])
    assert DiscreteHazard.fit(truth, bins=3, horizon=5.0).ends == (1.0, 2.0, 5.0)


def test_classes_weigh_the_same_whatever_their_number() -> None:
    """Bags that say nothing get equal odds where the weighted loss is lowest."""
    labels = np.array([0.0] * 6 + [1.0] * 3 + [2.0])
    head = Classes.fit(labels, balanced=True)
    logits = nn.Parameter(torch.zeros(1, 3))
    head.loss(logits.expand(10, 3), torch.tensor(labels)).backward()
    assert torch.allclose(logits.grad, torch.zeros(1, 3), atol=1e-6)
    plain = Classes.fit(labels, balanced=False)
    expected = nn.functional.cross_entropy(torch.eye(3), torch.tensor([0, 1, 2]))
    assert float(plain.loss(torch.eye(3), torch.tensor([0.0, 1, 2]))) == pytest.approx(
        float(expected)
    )


def test_classes_are_told_apart_as_scikit_learn_says() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    logits = rng.normal(size=(60, 3)) + 1.5 * np.eye(3)[truth]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    head = Classes((1.0, 1.0, 1.0))
    assert head.discrimination(logits, truth.astype(float)) == pytest.approx(expected)
    last = scores[:, 2]
    assert head.rank(logits) == pytest.approx(np.log(last / (1 - last)))


@pytest.mark.parametrize(
    "head",
    [
        Binary(),
        Cox(),
        Classes((1.0, 1.0, 1.0)),
        DiscreteHazard((3.0, 5.0, 9.0), horizon=4),
        DiscreteHazard((3.0, 5.0, 9.0), horizon=20),
    ],
)
def test_slope_is_the_gradient_of_the_rank(head: Head) -> None:
    logits = np.random.default_rng(0).normal(size=head.outputs)
    steps = 1e-6 * np.eye(head.outputs)
    numeric = (head.rank(logits + steps) - head.rank(logits - steps)) / 2e-6
    assert head.slope(logits) == pytest.approx(numeric, abs=1e-8)


def test_binary_is_balanced_logistic_loss() -> None:
    head = Binary.fit(np.array([1.0, 0, 0, 0]), balanced=True)
    loss = head.loss(torch.zeros(4, 1), torch.tensor([1.0, 0, 0, 0]))
    assert float(loss) == pytest.approx(np.log(2) * 6 / 4)
    assert Binary.fit(np.array([1.0, 0, 0]), balanced=False).positive_weight == 1


@pytest.mark.parametrize(
    ("task", "truth", "said"),
    [
        ("binary", [1.0, 1.0], "all 2 training patients have label 1"),
        ("classes", [0.0, 2.0], "no training patient is of class 1"),
        ("survival", [[3.0, 0.0], [4.0, 0.0]], "none of 2 training patients has the event"),
    ],
)
def test_patients_who_teach_nothing_are_refused(task: str, truth: list[float], said: str) -> None:
    survival = {"endpoint": "death", "horizon": 5.0} if task == "survival" else {}
    settings = MilSettings(task=task, **survival)
    with pytest.raises(DataError, match=said):
        fit_head(np.array(truth), settings)
