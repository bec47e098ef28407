"""`cmil plan` prints the sentence of the sample size that its function gives."""

import sys

import pytest

from cmil.cli import main
from cmil.planning.auc import cases_for_auc_difference, cases_for_auc_width
from cmil.planning.decisions import cases_for_decision_width

AT = ["--prevalence", "0.25"]


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        (
            ["auc", "--expected", "0.9", "--half-width", "0.05"],
            cases_for_auc_width(0.9, 0.05, 3),
        ),
        (
            ["decision", "--sensitivity", "0.9", "--specificity", "0.8", "--half-width", "0.1"],
            cases_for_decision_width(0.9, 0.8, 0.1, 0.25),
        ),
        (
            ["comparison", "--expected", "0.9", "--other", "0.8", "--correlation", "0.4"],
            cases_for_auc_difference(0.9, 0.8, 0.4, 0.8, 3),
        ),
    ],
)
def test_plan_prints_the_sentence_for_the_protocol(
    monkeypatch, capsys, arguments: list[str], size
) -> None:
    monkeypatch.setattr(sys, "argv", ["cmil", "plan", *arguments, *AT])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert capsys.readouterr().out == size.text + "\n"


def test_prevalence_that_is_none_is_refused(monkeypatch, capsys) -> None:
    arguments = ["auc", "--expected", "0.9", "--half-width", "0.05", "--prevalence", "1"]
    monkeypatch.setattr(sys, "argv", ["cmil", "plan", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "prevalence is 1; give a number between 0 and 1" in capsys.readouterr().err
