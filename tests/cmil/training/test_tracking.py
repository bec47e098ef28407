"""What TensorBoard reads is what the training told."""

from pathlib import Path

import pytest

from cmil.training.cross_validation import EpochDone
from cmil.training.tracking import tensorboard


def test_curves_are_read_back(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra cmil[tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tensorboard(tmp_path) as write:
        for epoch, loss in enumerate((0.75, 0.5)):
            write(EpochDone(3, epoch, loss, 0.625, 1))
        write(EpochDone(3, 0, 9.0, 0.5, 1, searching=True))
        write(EpochDone(3, 1, None, None, 0))
    read = EventAccumulator(str(tmp_path / "model-3")).Reload()
    assert [(event.step, event.value) for event in read.Scalars("loss")] == [(0, 0.75), (1, 0.5)]
    assert [event.value for event in read.Scalars("discrimination")] == [0.625, 0.625]
