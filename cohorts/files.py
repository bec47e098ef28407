"""Files that are whole or not there: atomic writing, digests, JSON that keeps no surprises."""

import glob
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cohorts.errors import FileFormatError

_BLOCK = 1 << 20
_PARTIAL = ".{name}.{drawn}.part"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success flush it to disk and rename it to `path`.

    A reader, or the same command started again after a kill, therefore never meets half a file.
    The temporary name is drawn, so two processes, or machines, on one folder do not collide.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(_PARTIAL.format(name=path.name, drawn=secrets.token_hex(4)))
    try:
        yield partial
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Remove what processes that were killed have left of `path`; none may be writing it now."""
    any_drawn = _PARTIAL.format(name=glob.escape(path.name), drawn="[0-9a-f]" * 8)
    for left_behind in path.parent.glob(any_drawn):
        left_behind.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all, with the same bytes on every system."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON; NaN and infinity, which JSON does not know, are refused."""
    write_text(path, json_text(content))


def json_text(content: Any) -> str:
    """Give the text that `write_json` writes."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path, mend: str | None = None) -> Any:
    """Read JSON from `path`.

    Parameters
    ----------
    mend
        What the user is told to do where it is missing or damaged; without it, to run the stage
        that writes it.

    Raises
    ------
    FileFormatError
        If the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileFormatError(
            f'"{path}" does not exist; {mend or "run the stage that writes it"}'
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise FileFormatError(
            f'"{path}" is not valid JSON ({error}); {mend or "delete it and run its stage again"}'
        ) from error


def digest_of(content: Any) -> str:
    """SHA-256 of anything JSON can hold, independent of the order of keys."""
    canonical = json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def digest_of_text(text: str) -> str:
    """SHA-256 of the UTF-8 bytes of a text: of a file that `write_text` wrote, that file's."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks so that a slide of any size fits in memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
