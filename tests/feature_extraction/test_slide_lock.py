"""The lock of a slide: one holder, and one line where the file system has none."""

import errno
from pathlib import Path

import pytest

from cohorts.errors import AccessError
from feature_extraction.slide_lock import InWorkElsewhere, lock_file, slide_lock


def test_one_at_a_time_and_nothing_half_written_stays(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    left = [tmp_path / ".S1.h5.0123abcd.part", tmp_path / "state" / ".S1.json.0123abcd.part"]
    other = tmp_path / ".S2.h5.0123abcd.part"
    for path in (*left, other):
        path.write_bytes(b"half")
    with slide_lock("S1", tmp_path, wait=False):
        assert not any(path.exists() for path in left)
        assert other.exists()
        with pytest.raises(InWorkElsewhere), slide_lock("S1", tmp_path, wait=False):
            pass
        with slide_lock("S2", tmp_path, wait=False):
            pass
    with slide_lock("S1", tmp_path, wait=False):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_share_without_locks_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def flock(*_: object) -> None:
        raise OSError(number, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    saying = r"has no locks .*; mount the share"
    path = tmp_path / "state" / "S1.lock"
    with pytest.raises(AccessError, match=saying) as caught, lock_file(path, wait=True):
        pass
    assert "\n" not in str(caught.value)


def test_other_trouble_is_said_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "S1.lock").mkdir()
    with pytest.raises(OSError) as caught, lock_file(tmp_path / "S1.lock", wait=False):
        pass
    assert not isinstance(caught.value, AccessError)
