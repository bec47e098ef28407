import hashlib
import json
from pathlib import Path

import pytest

from cohorts.errors import FileFormatError
from cohorts.files import (
    digest_of,
    digest_of_file,
    read_json,
    whole_file,
    write_json,
    write_text,
)


def test_a_file_is_whole_once_the_block_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
        assert partial.parent == path.parent
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_a_broken_off_writing_leaves_what_was_there(
    tmp_path: Path, stop: type[BaseException]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(stop), whole_file(path) as partial:
        partial.write_text("half")
        raise stop
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_text_has_the_same_bytes_everywhere(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Zürich\n0.25 µm\n")
    assert (tmp_path / "a.txt").read_bytes() == "Zürich\n0.25 µm\n".encode()


def test_json_is_read_back(tmp_path: Path) -> None:
    content = {"name": "Zürich", "values": [1, 0.25, None, True], "inner": {"b": 1, "a": 2}}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    assert "Zürich" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_does_not_know_is_refused(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"value": number})
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of({"value": number})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b'{"a": ', b'{"a": 1} more', b'"\xff"'])
def test_damaged_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"a\.json.* is not valid JSON") as refusal:
        read_json(path)
    assert len(str(refusal.value).splitlines()) == 1


def test_absent_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"a\.json.* does not exist"):
        read_json(tmp_path / "a.json")


def test_a_digest_is_of_the_content_and_not_of_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"a": 1, "b": [1, 2]}) != digest_of({"a": 1, "b": [2, 1]})
    assert digest_of(["ab", "c"]) != digest_of(["a", "bc"])
    assert digest_of("ü") == hashlib.sha256(json.dumps("ü").encode()).hexdigest()


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    for size in (0, 1, 1 << 20, (1 << 20) + 1):
        content = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
        (tmp_path / "a").write_bytes(content[:size])
        assert digest_of_file(tmp_path / "a") == hashlib.sha256(content[:size]).hexdigest()
