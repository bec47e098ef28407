"""Read HDF5 that may come from anywhere: undamaged, of a known version, of its own bytes only."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cohorts.errors import AccessError, FileFormatError

# A file that a network share withholds or another process has locked is not a damaged one.
_NOT_NOW = frozenset({errno.EACCES, errno.EAGAIN, errno.EIO, errno.ENOMEM, errno.ESTALE})


@dataclass(frozen=True)
class Hdf5Format:
    """What a kind of file is called, which version of it is known, and which command makes it."""

    name: str
    version: int
    made_by: str


@contextmanager
def opened(path: Path, kind: Hdf5Format) -> Iterator[h5py.File]:
    """Open a file for reading; whatever HDF5 says of damage, then or later, is one error.

    Raises
    ------
    FileFormatError
        If the file is missing, truncated, damaged, or of a newer version.
    AccessError
        If it may well be whole, but cannot be read now.
    """
    try:
        with h5py.File(path, "r") as file:
            _check_version(file, kind)
            yield file
    except (PermissionError, BlockingIOError, MemoryError) as error:
        raise _not_now(path, kind, error) from error
    except FileNotFoundError as error:
        raise FileFormatError(f'{kind.name} "{path}" does not exist; run {kind.made_by}') from error
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in _NOT_NOW:
            raise _not_now(path, kind, error) from error
        raise FileFormatError(
            f'{kind.name} "{path.name}" is truncated, damaged or not HDF5; delete it and run '
            f"{kind.made_by}"
        ) from error


def _not_now(path: Path, kind: Hdf5Format, error: Exception) -> AccessError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return AccessError(
        f'{kind.name} "{path.name}" cannot be read now ({reason}); check permissions, disk, '
        "network share and memory, and run again"
    )


def read_array(file: h5py.File, name: str, kinds: str, of: Hdf5Format) -> NDArray[np.generic]:
    """Read a whole dataset whose dtype is of one of numpy's `kinds`.

    Raises
    ------
    FileFormatError
        If it is absent, of another type, or does not lie in this very file.
    """
    dataset = dataset_of(file, name, of)
    if dataset.dtype.kind not in kinds:
        raise FileFormatError(f'{title(file, of)}: "{name}" has type {dataset.dtype}')
    return np.asarray(dataset[()])


def read_rows(
    file: h5py.File, name: str, kinds: str, of: Hdf5Format, rows: int
) -> NDArray[np.generic]:
    """Read a dataset that holds one value for each of `rows` patches.

    Raises
    ------
    FileFormatError
        As `read_array`, and if it holds another number of values.
    """
    values = read_array(file, name, kinds, of)
    if values.shape != (rows,):
        raise FileFormatError(f'{title(file, of)}: "{name}" {values.shape} for {rows} patches')
    return values


def dataset_of(file: h5py.File, name: str, of: Hdf5Format) -> h5py.Dataset:
    """Find a dataset whose bytes lie in this very file: a link out could disclose any other.

    Raises
    ------
    FileFormatError
        If it is absent, reached by a link, or kept in another file.
    """
    group: h5py.Group = file
    for step in name.split("/"):
        if not isinstance(group, h5py.Group) or step not in group:
            raise FileFormatError(f'{title(file, of)} has no dataset "{name}"')
        if not isinstance(group.get(step, getlink=True), h5py.HardLink):
            raise FileFormatError(f'{title(file, of)}: "{name}" is a link to elsewhere; refused')
        group = group[step]
    if not isinstance(group, h5py.Dataset):
        raise FileFormatError(f'{title(file, of)}: "{name}" is not a dataset')
    if group.external or group.is_virtual:
        raise FileFormatError(f'{title(file, of)}: "{name}" keeps its data elsewhere; refused')
    return group


def title(file: h5py.File, kind: Hdf5Format) -> str:
    """Name a file in an error."""
    return f'{kind.name} "{Path(file.filename).name}"'


def _check_version(file: h5py.File, kind: Hdf5Format) -> None:
    version = file.attrs.get("format_version", kind.version)
    if not isinstance(version, (int, np.integer)) or version > kind.version:
        raise FileFormatError(
            f"{title(file, kind)} has format version {version}, this cMIL reads up to "
            f"{kind.version}; upgrade cmil"
        )
