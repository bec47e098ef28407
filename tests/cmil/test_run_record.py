"""A stage is done only while all that decided its output, and the output, are as they were."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cmil import __version__
from cmil.run_record import Stage, peak_memory_mib
from cohorts.files import digest_of_file


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    record = tmp_path / "model" / "run.json"
    return Stage("train", tmp_path, record, {"cohort": "c1"}, {"folds": 5}, seed=3)


@pytest.fixture
def outputs(tmp_path: Path) -> Sequence[Path]:
    return [tmp_path / "model" / "b.bin", tmp_path / "table.csv"]


@pytest.fixture
def done(stage: Stage, outputs: Sequence[Path]) -> Stage:
    with stage.recorded(lambda: outputs):
        for number, path in enumerate(outputs):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"output %d" % number)
    return stage


def test_stage_is_done_once_recorded(stage: Stage, done: Stage) -> None:
    assert done.is_done()
    assert replace(stage).is_done()  # another process, asked for the same


def test_stage_never_run_is_not_done(stage: Stage) -> None:
    assert not stage.is_done()


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": {"cohort": "c2"}},
        {"inputs": {"cohort": "c1", "bags": "b1"}},
        {"settings": {"folds": 4}},
        {"seed": 4},
        {"seed": None},
        {"name": "predict"},
    ],
)
def test_stage_asked_for_otherwise_is_not_done(done: Stage, change: dict[str, object]) -> None:
    assert not replace(done, **change).is_done()


def test_changed_byte_of_an_output_undoes_it(done: Stage, outputs: Sequence[Path]) -> None:
    outputs[1].write_bytes(b"output 2")
    assert not done.is_done()
    outputs[1].write_bytes(b"output 1")
    assert done.is_done()


def test_missing_output_undoes_it(done: Stage, outputs: Sequence[Path]) -> None:
    outputs[0].unlink()
    assert not done.is_done()


def test_record_that_is_no_record_is_not_done(done: Stage) -> None:
    done.record.write_text("[]", encoding="utf-8")
    assert not done.is_done()


def test_failed_stage_leaves_no_record(done: Stage, outputs: Sequence[Path]) -> None:
    with pytest.raises(ZeroDivisionError), done.recorded(lambda: outputs):
        raise ZeroDivisionError
    assert not done.record.exists()
    assert not done.is_done()


def test_stage_that_did_not_make_its_output_leaves_no_record(
    stage: Stage, outputs: Sequence[Path]
) -> None:
    with pytest.raises(FileNotFoundError), stage.recorded(lambda: outputs):
        pass
    assert not stage.record.exists()


def test_record_says_what_went_in_and_what_came_out(done: Stage, outputs: Sequence[Path]) -> None:
    record = json.loads(done.record.read_text(encoding="utf-8"))
    assert record["stage"] == "train"
    assert record["inputs"] == {"cohort": "c1"}
    assert record["settings"] == {"folds": 5}
    assert record["seed"] == 3
    assert record["outputs"] == {
        "model/b.bin": digest_of_file(outputs[0]),
        "table.csv": digest_of_file(outputs[1]),
    }
    assert record["software"]["cmil"] == __version__
    assert {"python", "numpy", "torch"} <= set(record["software"])
    assert record["machine"]
    assert record["wall_seconds"] >= 0
    assert record["peak_memory_mib"] is None or record["peak_memory_mib"] > 10


def test_memory_is_told_in_mib() -> None:
    peak = peak_memory_mib()
    assert peak is None or 10 < peak < 1_000_000
