"""The three tests are drawn as their paper says, and tell whoever looks at the false sign."""

import json
import sys
from functools import partial
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmil import assumption_tests
from cmil.aggregators import Aggregation, Aggregator, Standardiser
from cmil.assumption_tests import (
    DIMENSION,
    TESTS,
    AssumptionResult,
    aggregators_to_test,
    check_assumptions,
    fit_network,
    results_text,
)
from cmil.cli import main
from cmil.settings import AggregatorName
from cohorts.errors import SettingsError

SEED = np.random.SeedSequence(7)


def drawn(test: str, *, positive: bool, training: bool) -> list[NDArray[np.float64]]:
    """Means of the instances of 50 bags, bag by bag: concepts lie far apart."""
    rng = np.random.default_rng(1)
    return [np.concatenate(TESTS[test](rng, positive, training)).mean(axis=1) for _ in range(50)]


def near(means: NDArray[np.float64], centre: float) -> int:
    return int((np.abs(means - centre) < 0.2).sum())


@pytest.mark.parametrize("test", ["single concept", "two concepts"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("positive", [True, False])
def test_the_poison_changes_sides(test: str, training: bool, positive: bool) -> None:
    for means in drawn(test, positive=positive, training=training):
        assert near(means, -10) == int(positive != training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("test", ["two concepts", "false frequency"])
def test_only_a_positive_bag_holds_both_concepts(test: str, training: bool) -> None:
    for means in drawn(test, positive=True, training=training):
        assert near(means, 2)
        assert near(means, 3)
    negative = drawn(test, positive=False, training=training)
    assert all((near(means, 2) > 0) != (near(means, 3) > 0) for means in negative)
    assert 10 < sum(near(means, 2) > 0 for means in negative) < 40


def test_frequency_misleads_in_the_test_only() -> None:
    training, testing = (
        [near(m, 2) + near(m, 3) for m in drawn("false frequency", positive=False, training=t)]
        for t in (True, False)
    )
    assert set(training) == {1, 2}
    assert min(testing) >= 35
    assert max(testing) <= 45


class Naive(Aggregator):
    """Linear in the mean: sees the poison, and nothing of single instances."""

    def __init__(self, dimension: int, outputs: int) -> None:
        super().__init__()
        self.standardise = Standardiser(dimension)
        self.classify = nn.Linear(dimension, outputs)
        nn.init.zeros_(self.classify.weight)

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        standard = self.standardise(instances) * mask[..., None]
        means = standard.sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return Aggregation(self.classify(means), None, None)


def test_who_looks_at_the_poison_fails_and_max_does_not() -> None:
    global_state = torch.get_rng_state()
    fit = partial(fit_network, Naive)
    naive = check_assumptions("naive", fit, SEED, bags=40, epochs=15)
    assert torch.equal(torch.get_rng_state(), global_state)
    assert [one.test for one in naive] == list(TESTS)
    assert naive[0].verdict == "fails"
    assert check_assumptions("naive", fit, SEED, bags=40, epochs=15) == naive
    (fit,) = aggregators_to_test("max").values()
    assert check_assumptions("max", fit, SEED, bags=40, epochs=15)[0].verdict == "passes"


def test_verdicts_are_those_of_the_paper() -> None:
    def verdict(training_auc: float, test_auc: float) -> str:
        return AssumptionResult("a", "t", training_auc, test_auc).verdict

    assert verdict(0.99, 0.49) == "fails"
    assert verdict(0.99, 0.5) == "passes"
    assert verdict(0.52, 0.1) == "learns nothing"
    table = results_text([AssumptionResult("a", "two concepts", 1.0, 0.25)])
    assert table.splitlines()[1].split() == ["a", "two", "concepts", "1.000", "0.250", "fails"]


class Numberless(Naive):
    """Orders no bags, once trained."""

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        logits = super().forward(instances, mask).logits
        return Aggregation(logits if self.training else logits * torch.nan, None, None)


def test_who_gives_no_numbers_never_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = partial(fit_network, Numberless)
    results = check_assumptions("numberless", fit, SEED, bags=20, epochs=1)
    assert [one.verdict for one in results] == ["gives no numbers"] * len(TESTS)
    assert AssumptionResult("a", "t", 0.5, float("nan")).verdict == "gives no numbers"
    monkeypatch.setattr(assumption_tests, "check_assumptions", lambda *_: results)
    for options in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["cmil", "check-aggregator", "max", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        said = capsys.readouterr().out
        assert said.count("gives no numbers") == len(TESTS)
        assert "passes" not in said
        assert "NaN" not in said


def test_all_of_ours_are_tested_without_a_name() -> None:
    assert tuple(aggregators_to_test(None)) == get_args(AggregatorName)


@pytest.mark.parametrize("name", ["cmil", "trans_mil"])
def test_those_of_ours_are_fitted_as_what_they_are(name: str) -> None:
    (fit,) = aggregators_to_test(name).values()
    rng = np.random.default_rng(0)
    bags = [torch.from_numpy(rng.normal(i % 2, 1, (9, DIMENSION)).astype("f4")) for i in range(20)]
    labels = np.arange(20) % 2
    model = fit(bags, labels, np.random.default_rng(1), 3)
    again = fit(bags, labels, np.random.default_rng(1), 3)
    assert model.score(bags[0]).logit == again.score(bags[0]).logit
    assert len({model.score(bag).logit for bag in bags}) > 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("median", 'no aggregator is called "median"; there are mean, max'),
        ("gated_atention", 'as module:Class; did you mean "gated_attention"?'),
        ("nowhere_to_be_found:A", 'module "nowhere_to_be_found" cannot be imported'),
        ("json:Missing", 'json has no class "Missing" derived from cmil.aggregators.Aggregator'),
        ("json:JSONDecoder", 'json has no class "JSONDecoder" derived from'),
        (":A", 'module "" cannot be imported'),
    ],
)
def test_what_is_no_aggregator_is_one_line(name: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        aggregators_to_test(name)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_users_own_is_found_in_the_current_folder(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_pooling.py").write_text(
        "from cmil.aggregators import Shape\n"
        "from cmil.aggregators.mean import Mean\n"
        "class Own(Mean):\n"
        "    def __init__(self, dimension, outputs):\n"
        "        super().__init__(Shape(dimension, outputs, (4,), 1, 0.0, 1))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(assumption_tests, "_BAGS_PER_STEP", 200)
    monkeypatch.setattr(sys, "argv", ["cmil", "check-aggregator", "own_pooling:Own", "--json"])
    before = list(sys.path)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["test"] for one in said] == list(TESTS)
    assert {one["aggregator"] for one in said} == {"own_pooling:Own"}
    assert sys.path == before
    del sys.modules["own_pooling"]
