"""Zip files from elsewhere: names that stay in their folder, sizes that fit a disk."""

import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from cohorts.errors import FileFormatError
from cohorts.files import whole_file

MOST_FILES = 2_000
LARGEST_FILE = 8 << 30
_MOST_COMPRESSED, _SMALL = 200, 64 << 20
_BLOCK = 1 << 20
# The first time a zip file can hold: the same content gives the same bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@contextmanager
def opened_archive(path: Path) -> Iterator[ZipFile]:
    """Open a zip file, and refuse it before anything is unpacked if it could do harm.

    Raises
    ------
    FileFormatError
        If it is missing or damaged, a name leads out of the folder it is unpacked to, occurs
        twice or is a link, or sizes are beyond what a kit has.
    """
    try:
        with ZipFile(path) as archive:
            _check_names(path, archive)
            _check_sizes(path, archive)
            yield archive
    except FileNotFoundError as error:
        raise FileFormatError(f'"{path}" does not exist; name the file of the kit') from error
    except (BadZipFile, EOFError, NotImplementedError) as error:
        raise FileFormatError(f'"{path}" is damaged or no kit ({error}); get it again') from error


def read_member(archive: ZipFile, name: str) -> bytes:
    """Read one small file of an archive into memory, never more than it states.

    Raises
    ------
    FileFormatError
        If it is not there, or states more than 64 MiB.
    """
    if name in archive.namelist() and archive.getinfo(name).file_size > _SMALL:
        raise FileFormatError(f'"{archive.filename}": "{name}" is too large; refused')
    return b"".join(_blocks(archive, name))


def extract_members(archive: ZipFile, names: Iterable[str], folder: Path) -> None:
    """Unpack these files of a checked archive below `folder`.

    Raises
    ------
    FileFormatError
        If one is not there or is larger than it states.
    """
    for name in names:
        with whole_file(folder / name) as partial, partial.open("wb") as file:
            for block in _blocks(archive, name):
                file.write(block)


def write_archive(path: Path, members: Iterable[tuple[str, bytes | Path]]) -> None:
    """Write a zip file, whole or not at all; the same members give the same bytes.

    Parameters
    ----------
    members
        (name, content or the file that has it), in their order.
    """
    with whole_file(path) as partial, ZipFile(partial, "w", ZIP_DEFLATED) as archive:
        for name, content in members:
            info = ZipInfo(name, _NO_TIME)
            info.compress_type = ZIP_DEFLATED
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            if isinstance(content, bytes):
                archive.writestr(info, content)
                continue
            info.file_size = content.stat().st_size
            with content.open("rb") as source, archive.open(info, "w") as target:
                while block := source.read(_BLOCK):
                    target.write(block)


def _blocks(archive: ZipFile, name: str) -> Iterator[bytes]:
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise FileFormatError(f'"{archive.filename}" lacks "{name}"; get it again') from error
    left = info.file_size
    with archive.open(info) as file:
        while block := file.read(_BLOCK):
            left -= len(block)
            if left < 0:
                raise FileFormatError(f'"{archive.filename}": "{name}" is larger than it states')
            yield block


def _check_names(path: Path, archive: ZipFile) -> None:
    seen: set[str] = set()
    for info in archive.infolist():
        name = info.filename
        parts = PurePosixPath(name).parts
        unsafe = (
            not parts
            or name.startswith("/")
            or ".." in parts
            or any(c in name for c in "\\:\0")
            or stat.S_ISLNK(info.external_attr >> 16)
        )
        if unsafe:
            raise FileFormatError(f'"{path}": "{name}" leads out of the kit\'s folder; refused')
        if name.casefold() in seen:
            raise FileFormatError(f'"{path}": "{name}" occurs twice; refused')
        seen.add(name.casefold())


def _check_sizes(path: Path, archive: ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MOST_FILES:
        raise FileFormatError(f'"{path}" holds {len(members)} files, a kit at most {MOST_FILES}')
    for info in members:
        inflated = info.file_size > max(_SMALL, _MOST_COMPRESSED * info.compress_size)
        if info.file_size > LARGEST_FILE or inflated:
            raise FileFormatError(
                f'"{path}": "{info.filename}" states {info.file_size:,} bytes; refused'
            )
        if info.flag_bits & 1:
            raise FileFormatError(f'"{path}": "{info.filename}" is encrypted; refused')
