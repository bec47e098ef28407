"""One process at a slide: the locks that keep shards and engines on one folder apart."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from cohorts.errors import AccessError
from cohorts.files import remove_unfinished
from feature_extraction.bags import bag_path
from feature_extraction.slide_record import record_path

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class InWorkElsewhere(Exception):  # noqa: N818 no error: another process is at this slide
    """Another process holds the lock."""


@contextmanager
def slide_lock(slide_id: str, out: Path, *, wait: bool) -> Iterator[None]:
    """Be the only process that writes the bag and the record of a slide.

    What processes that were killed have left of the two is removed.

    Raises
    ------
    InWorkElsewhere
        If another process works at it, unless `wait` is set.
    AccessError
        If the file system has no locks.
    """
    record = record_path(out, slide_id)
    with lock_file(record.with_suffix(".lock"), wait=wait):
        for written in (bag_path(out, slide_id), record):
            remove_unfinished(written)
        yield


@contextmanager
def lock_file(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock of a file; the system takes it from a process that dies.

    Raises
    ------
    InWorkElsewhere
        If another process holds it, unless `wait` is set.
    AccessError
        If the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout as error:
        raise InWorkElsewhere(path.stem) from error
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        raise AccessError(
            f'the file system of "{path.parent}" has no locks ({error}); mount the share with '
            "locks, or give --out a folder on another disk"
        ) from error
    try:
        yield
    finally:
        lock.release()
