"""Zip files from elsewhere: nothing leads out of the folder, nothing fills the disk."""

import stat
import zipfile
from pathlib import Path

import pytest

from cmil.kit import archive
from cmil.kit.archive import extract_members, opened_archive, read_member, write_archive
from cohorts.errors import FileFormatError


def zip_of(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as written:
        for name, content in members:
            written.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "a\\..\\evil", "model/../../x"]
)
def test_names_that_lead_out_are_refused_before_anything_is_written(tmp_path, name: str) -> None:
    path = zip_of(tmp_path / "kit.zip", ("good", b"1"), (name, b"2"))
    with pytest.raises(FileFormatError, match="leads out"), opened_archive(path) as opened:
        extract_members(opened, ["good"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_and_repeated_names_are_refused(tmp_path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with (
        pytest.raises(FileFormatError, match="leads out"),
        opened_archive(zip_of(tmp_path / "a.zip", (link, b"/etc/passwd"))),
    ):
        pass
    twice = zip_of(tmp_path / "b.zip", ("model/a", b"1"), ("Model/A", b"2"))
    with pytest.raises(FileFormatError, match="occurs twice"), opened_archive(twice):
        pass


def test_bombs_are_refused_unread(tmp_path, monkeypatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("zeros", bytes(archive._SMALL + 1))
    bomb = tmp_path / "bomb.zip"
    with pytest.raises(FileFormatError, match="states 67,108,865 bytes"), opened_archive(bomb):
        pass
    monkeypatch.setattr(archive, "MOST_FILES", 2)
    many = zip_of(tmp_path / "many.zip", *((str(i), b"") for i in range(3)))
    with pytest.raises(FileFormatError, match="holds 3 files"), opened_archive(many):
        pass


def test_damaged_and_missing_archives_are_one_line(tmp_path) -> None:
    path = zip_of(tmp_path / "kit.zip", ("a", b"content" * 100))
    whole = bytearray(path.read_bytes())
    whole[60] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(FileFormatError, match="damaged"), opened_archive(path) as opened:
        read_member(opened, "a")
    (tmp_path / "text.zip").write_text("no zip")
    for name in ("text.zip", "nowhere.zip"):
        with pytest.raises(FileFormatError, match=name), opened_archive(tmp_path / name):
            pass


def test_same_members_give_the_same_bytes(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"weights")
    members = [("a/b", b"text"), ("c", tmp_path / "file")]
    write_archive(tmp_path / "one.zip", members)
    write_archive(tmp_path / "two.zip", members)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with opened_archive(tmp_path / "one.zip") as opened:
        assert read_member(opened, "c") == b"weights"
        with pytest.raises(FileFormatError, match='lacks "d"'):
            read_member(opened, "d")
