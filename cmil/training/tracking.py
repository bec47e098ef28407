"""Curves in TensorBoard while a training runs: an extra, `pip install "cmil[tensorboard]"`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cmil.training.cross_validation import EpochDone
from cohorts.errors import SettingsError


@contextmanager
def tensorboard(folder: Path) -> Iterator[Callable[[EpochDone], None]]:
    """Write loss and discrimination of every model, as they come, to `folder/model-<n>`.

    Gives what `train` is to call after every epoch. Plain files; nothing is sent anywhere. The
    trainings of a search are left out.

    Raises
    ------
    SettingsError
        If TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SettingsError(
            "--tensorboard needs TensorBoard; install it with pip install 'cmil[tensorboard]'"
        ) from error
    writers: dict[int, SummaryWriter] = {}

    def write(event: EpochDone) -> None:
        if event.searching or event.loss is None or event.discrimination is None:
            return
        if event.fold not in writers:
            writers[event.fold] = SummaryWriter(folder / f"model-{event.fold}")
        writers[event.fold].add_scalar("loss", event.loss, event.epoch)
        writers[event.fold].add_scalar("discrimination", event.discrimination, event.epoch)

    try:
        yield write
    finally:
        for writer in writers.values():
            writer.close()
