"""A user's own aggregator that cannot be trained is refused in one line that says what to mend."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cmil.cli import main
from cmil.users_aggregator import users_aggregator
from cohorts.errors import SettingsError

OWN = """
import torch
from cmil.aggregators import Aggregation, Aggregator, Standardiser
class Own(Aggregator):
    def __init__(self, dimension, outputs):
        super().__init__()
        self.standardise = Standardiser(dimension)
        self.classify = torch.nn.Linear(dimension, outputs)
    def forward(self, instances, mask):
        standard = self.standardise(instances) * mask[..., None]
        logits = self.classify(standard.sum(dim=1))
        return Aggregation(logits, None, None)
"""
STANDARDISE = "        self.standardise = Standardiser(dimension)\n"
LAYER = "        self.classify = torch.nn.Linear(dimension, outputs)\n"
FORWARD = "    def forward"
RESULT = "Aggregation(logits, None, None)"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "users_own.py"
    sys.modules.pop("users_own", None)


def test_one_that_does_what_it_has_to_is_built(file: Path) -> None:
    file.write_text(OWN)
    before, path = torch.get_rng_state(), list(sys.path)
    build = users_aggregator("users_own:Own")
    assert torch.equal(torch.get_rng_state(), before)
    assert sys.path == path
    assert build(5, 2).standardise.mean.shape == (5,)


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        (STANDARDISE, "", "has no `standardise`; set self.standardise = Standardiser(dimension)"),
        (STANDARDISE, STANDARDISE.replace("dimension", "3"), "`standardise` does not fit"),
        ("dimension, outputs):\n", "shape):\n        dimension, outputs = 16, 1\n", "(shape)"),
        ("outputs):\n", "outputs, width):\n", "write def __init__(self, dimension, outputs)"),
        ("super().__init__()", "pass", "__init__(16, 1) fails (AttributeError: cannot assign"),
        (RESULT, RESULT.replace("logits", "logits[:, 0]"), "logits of shape (2,) for 2 bags"),
        (RESULT, RESULT.replace("logits", "logits[0]"), "they have to be (B, K), here (2, 1)"),
        (RESULT, RESULT.replace("logits", "1.0"), "gives logits that are no tensor"),
        (RESULT, RESULT.replace("logits", "logits.detach()"), "its loss cannot be trained on"),
        (RESULT, "logits", "forward returns Tensor; return a cmil.aggregators.Aggregation"),
        ("mask[..., None]", "mask", "forward fails on instances (2, 3, 16) and their mask ("),
        (LAYER, "", "has no parameters to train"),
        (FORWARD, "    def forwards", "is abstract; define forward in it"),
    ],
)
def test_what_a_class_lacks_is_named(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    right: str,
    wrong: str,
    says: str,
) -> None:
    assert right in OWN
    file.write_text(OWN.replace(right, wrong))
    monkeypatch.setattr(sys, "argv", ["cmil", "check-aggregator", "users_own:Own"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'error: class "Own" of {file}')
    assert says in line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class Own(:\n", "(SyntaxError: invalid syntax (users_own.py, line 1))"),
        ("\nraise KeyError('a')\n", "(KeyError: 'a')"),
        ("import nowhere_to_be_found\n", "No module named 'nowhere_to_be_found'"),
    ],
)
def test_module_that_cannot_be_imported_is_named(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        users_aggregator("users_own:Own")
    line = str(refused.value)
    assert line.startswith(
        f'"users_own:Own": module "users_own" cannot be imported from {file.parent}'
    )
    assert says in line
    assert line.endswith("; mend the module or its name")
    assert "\n" not in line
