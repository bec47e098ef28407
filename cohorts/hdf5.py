"""Read HDF5 that may come from anywhere: undamaged, of a known version, of its own bytes only."""

import errno
import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cohorts.errors import AccessError, FileFormatError
from cohorts.hdf5_heaps import check_heaps

# A file that a network share withholds or another process has locked is not a damaged one.
_NOT_NOW = frozenset({errno.EACCES, errno.EAGAIN, errno.EIO, errno.ENOMEM, errno.ESTALE})

# What a dataset states to hold is allocated before it is read. Compressed embeddings do not shrink
# a hundredfold; a file that states so would fill the memory.
_MOST_COMPRESSED = 100
_SMALL = 64 << 20
# Small enough to lie in the processor's cache between being read and being checked.
_BLOCK_BYTES = 1 << 20


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
            check_heaps(file)
            _check_version(file, kind)
            yield file
    except (PermissionError, BlockingIOError, MemoryError) as error:
        raise _not_now(path, kind, error) from error
    except FileNotFoundError as error:
        raise FileFormatError(f'{kind.name} "{path}" does not exist; run {kind.made_by}') from error
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        if isinstance(error, TypeError) and not _of_h5py(error):
            raise
        if isinstance(error, OSError) and error.errno in _NOT_NOW:
            raise _not_now(path, kind, error) from error
        raise FileFormatError(
            f'{kind.name} "{path.name}" is truncated, damaged or not HDF5; delete it and run '
            f"{kind.made_by}"
        ) from error


def _of_h5py(error: Exception) -> bool:
    """Tell a type in the file that numpy does not have from a mistake of the caller."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return bool(trace and "h5py" in trace.tb_frame.f_code.co_filename)


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


def read_whole_numbers(file: h5py.File, name: str, of: Hdf5Format) -> NDArray[np.int64]:
    """Read a dataset of places or pixels, which are never below 0.

    Raises
    ------
    FileFormatError
        As `read_array`, and if a number is negative or so large that sums of two would wrap round.
    """
    values = read_array(file, name, "iu", of)
    if values.size and (values.min() < 0 or values.max() > np.iinfo(np.int64).max // 2):
        raise FileFormatError(
            f'{title(file, of)} holds a negative or impossibly large number in "{name}"'
        )
    return values.astype(np.int64)


def read_finite(file: h5py.File, name: str, of: Hdf5Format) -> NDArray[np.floating]:
    """Read a dataset of floating-point numbers as float16 or float32, none of them NaN or infinite.

    Raises
    ------
    FileFormatError
        As `read_array`, and if a number is NaN, infinite, or too large for 32 bits.
    """
    dataset = dataset_of(file, name, of)
    if dataset.dtype.kind != "f":
        raise FileFormatError(f'{title(file, of)}: "{name}" has type {dataset.dtype}')
    if dataset.id.get_offset() and dataset.dtype in (np.dtype("<f2"), np.dtype("<f4")):
        values, finite = _read_contiguous(file, dataset)
    else:
        narrow = np.float16 if dataset.dtype.itemsize == 2 else np.float32
        with np.errstate(over="ignore"):  # what becomes infinite is refused
            values = np.ascontiguousarray(dataset[()], dtype=narrow)
        finite = all(_finite(block) for block in _blocks(values))
    if not finite:
        raise FileFormatError(f'{title(file, of)} holds NaN or infinity in "{name}"; make it again')
    return values


def map_finite(file: h5py.File, name: str, of: Hdf5Format) -> NDArray[np.floating] | None:
    """Map a dataset of float16 or float32 numbers, none of them NaN or infinite, where it lies.

    Every number is read once to be checked; none stays in memory. Writing to the map does not
    change the file.

    Returns
    -------
    numpy.memmap, or None where the dataset is compressed, in chunks, or of other numbers.

    Raises
    ------
    FileFormatError
        As `read_finite`.
    """
    dataset = dataset_of(file, name, of)
    offset = dataset.id.get_offset()
    if not offset or dataset.dtype not in (np.dtype("<f2"), np.dtype("<f4")):
        return None
    with open(file.filename, "rb", buffering=0) as raw:  # noqa: PTH123  # a name HDF5 has opened
        raw.seek(offset)
        block = np.empty(_BLOCK_BYTES // dataset.dtype.itemsize, dtype=dataset.dtype)
        for first in range(0, dataset.size, len(block)):
            part = block[: dataset.size - first]
            _fill(raw, part, dataset)
            if not _finite(part):
                raise FileFormatError(
                    f'{title(file, of)} holds NaN or infinity in "{name}"; make it again'
                )
    return np.memmap(file.filename, dataset.dtype, "c", offset, dataset.shape)


def _read_contiguous(file: h5py.File, dataset: h5py.Dataset) -> tuple[NDArray[np.floating], bool]:
    """Read numbers as they lie in the file, and check each block while the cache still holds it.

    HDF5's own reading costs as much again for every block.
    """
    values = np.empty(dataset.shape, dtype=dataset.dtype)
    finite = True
    with open(file.filename, "rb", buffering=0) as raw:  # noqa: PTH123  # a name HDF5 has opened
        raw.seek(dataset.id.get_offset())
        for block in _blocks(values):
            _fill(raw, block, dataset)
            finite = finite and _finite(block)
    return values, finite


def _fill(raw: io.RawIOBase, block: NDArray[np.floating], dataset: h5py.Dataset) -> None:
    unread = block.view(np.uint8).data
    while unread:
        got = raw.readinto(unread)
        if not got:
            raise OSError(f"{dataset.name} ends early")
        unread = unread[got:]


def _blocks(values: NDArray[np.floating]) -> Iterator[NDArray[np.floating]]:
    flat = values.reshape(-1)
    length = _BLOCK_BYTES // values.itemsize
    return (flat[first : first + length] for first in range(0, len(flat), length))


def _finite(values: NDArray[np.floating]) -> bool:
    """Tell whether no number is NaN or infinite: then no exponent is all ones (IEEE 754).

    Read as integers, positive numbers with such an exponent are the largest signed ones, negative
    numbers the largest unsigned ones. float16 has no faster test: numpy converts each to float32.
    """
    signed, unsigned = values.view(f"i{values.itemsize}"), values.view(f"u{values.itemsize}")
    infinity = int(np.array(np.inf, values.dtype).view(signed.dtype))
    sign = 1 << (8 * values.itemsize - 1)
    return int(signed.max()) < infinity and int(unsigned.max()) < infinity + sign


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
    refuse_other_length(file, name, values, of, rows)
    return values


def refuse_other_length(
    file: h5py.File, name: str, values: NDArray[np.generic], of: Hdf5Format, rows: int
) -> None:
    """Refuse values that are not one for each of `rows` patches, with a `FileFormatError`."""
    if values.shape != (rows,):
        raise FileFormatError(f'{title(file, of)}: "{name}" {values.shape} for {rows} patches')


def dataset_of(file: h5py.File, name: str, of: Hdf5Format) -> h5py.Dataset:
    """Find a dataset whose bytes lie in this very file: a link out could disclose any other.

    Raises
    ------
    FileFormatError
        If it is absent, reached by a link, kept in another file, compressed by a filter that is
        not at hand, or states more numbers than the file holds.
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
    _check_storage(file, name, group, of)
    return group


def _check_storage(file: h5py.File, name: str, dataset: h5py.Dataset, of: Hdf5Format) -> None:
    stored = dataset.id.get_storage_size()
    stated = math.prod(dataset.shape or ()) * dataset.id.get_type().get_size()
    recipe = dataset.id.get_create_plist()
    for number in range(recipe.get_nfilters()):
        code, _, _, said = recipe.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            raise FileFormatError(
                f'{title(file, of)}: "{name}" is compressed by filter {code} '
                f'"{said.decode("utf-8", "replace")}", which is not at hand; write it with gzip'
            )
    most = max(_SMALL, _MOST_COMPRESSED * stored) if recipe.get_nfilters() else stored
    if stored > Path(file.filename).stat().st_size or stated > most:
        raise FileFormatError(
            f'{title(file, of)}: "{name}" {dataset.shape} states more than the file holds; it was '
            "not written to its end"
        )
    chunks = dataset.chunks
    if chunks and stated:
        whole = math.prod(
            -(-extent // chunk) for extent, chunk in zip(dataset.shape, chunks, strict=True)
        )
        if dataset.id.get_num_chunks() < whole:
            raise FileFormatError(
                f'{title(file, of)}: "{name}" has rows that were never written; write it again'
            )


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
