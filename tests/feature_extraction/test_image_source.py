import os
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cohorts.errors import AccessError, ImageError
from feature_extraction.sources.image_source import ImageSource, refusal_of_all


@pytest.fixture
def picture(smear) -> np.ndarray:
    return smear(50, 40, seed=1)


def test_a_folder_gives_its_images_in_order_and_nothing_else(
    tmp_path: Path, picture: np.ndarray
) -> None:
    for name in ("b.JPG", "a.tif", "sub/c.png", ".hidden.png", ".cache/d.png", "sub/.e/f.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder.png").mkdir()
    source = ImageSource.from_folder(tmp_path)
    assert list(source.names) == ["a.tif", "b.JPG", "sub/c.png"]
    assert [file.relative_to(tmp_path).as_posix() for file in source.files] == list(source.names)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match=f'folder "{tmp_path.name}" holds no image'):
        ImageSource.from_folder(tmp_path)


def test_a_list_gives_its_images_in_its_order(tmp_path: Path, picture: np.ndarray) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/é.png"):
        Image.fromarray(picture).save(tmp_path / name)
    listing = tmp_path / "list.txt"
    listing.write_bytes("\ufeffsub/é.png\r\n\r\n  a.png \r\n".encode())
    source = ImageSource.from_list(listing)
    assert list(source.names) == ["sub/é.png", "a.png"]
    with source.open(1) as canvas:
        assert canvas.dimensions == (50, 40)
        assert canvas.mpp is None
        np.testing.assert_array_equal(canvas.thumbnail(1000), picture)
        assert canvas.thumbnail(25).shape == (20, 25, 3)
        np.testing.assert_array_equal(canvas.read_region(9, 8, 20, 20), picture[8:28, 9:29])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "names no image"),
        (b"\n \n", "names no image"),
        (b"a.png\nnone.png\ngone.png\n", '"none.png" and 1 more does not exist'),
        (b"a.png\nnone.png\n", '"none.png" does not exist'),
        (b".\n", '"." does not exist'),
        (b"Z\xfcrich.png\n", "is not UTF-8"),
    ],
)
def test_a_list_that_does_not_serve_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ImageError, match=r"list\.txt") as refusal:
        ImageSource.from_list(tmp_path / "list.txt")
    assert said in str(refusal.value)


def test_a_list_that_is_gone_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r'"list\.txt" cannot be read'):
        ImageSource.from_list(tmp_path / "list.txt")


def names_of(folder: Path) -> list[str]:
    return list(ImageSource.from_folder(folder).names)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).touch()


def test_what_systems_leave_in_folders_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "P1/Blast, small/0001.jpg", "P1/Ery/0001.jpg")
    touch(tmp_path, "P1/Thumbs.db", "P1/._0001.jpg", "P1/.DS_Store", "__MACOSX/P1/._0001.jpg")
    touch(tmp_path, "P1/@eaDir/0001.jpg/SYNOPHOTO_THUMB_M.jpg", "$RECYCLE.BIN/a.jpg")
    assert names_of(tmp_path) == ["P1/Blast, small/0001.jpg", "P1/Ery/0001.jpg"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_letters_are_composed_and_sorted_the_same_on_every_system(
    tmp_path: Path, picture: np.ndarray, form: str
) -> None:
    for name in ("Ä.png", "z.png", "B.png", "a.png", "ä 1.png"):
        Image.fromarray(picture).save(tmp_path / unicodedata.normalize(form, name))
    source = ImageSource.from_folder(tmp_path)
    assert list(source.names) == ["B.png", "a.png", "z.png", "Ä.png", "ä 1.png"]
    assert source.open(3).dimensions == (50, 40)
    (tmp_path / "list.txt").write_text("Ä.png\n", encoding="utf-8")
    listed = ImageSource.from_list(tmp_path / "list.txt")
    assert listed.open(0).dimensions == (50, 40)
    assert list(listed.names) == ["Ä.png"]


def test_a_list_written_on_windows_names_folders_with_backslashes(
    tmp_path: Path, picture: np.ndarray
) -> None:
    (tmp_path / "P1").mkdir()
    Image.fromarray(picture).save(tmp_path / "P1" / "a.png")
    (tmp_path / "list.txt").write_text("P1\\a.png\r\n", encoding="utf-8")
    assert ImageSource.from_list(tmp_path / "list.txt").open(0).dimensions == (50, 40)


def test_a_linked_folder_is_read_once_and_a_loop_ends(tmp_path: Path) -> None:
    touch(tmp_path, "patients/P1/cells/b.png", "patients/P2/secret.png", "elsewhere/c.png")
    folder = tmp_path / "patients" / "P1"
    (folder / "again").symlink_to(folder / "cells")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "cells" / "up").symlink_to(folder)
    (folder / "others").symlink_to(tmp_path / "patients")
    (tmp_path / "elsewhere" / "back").symlink_to(folder / "more")
    (folder / "d.png").symlink_to(tmp_path / "elsewhere" / "c.png")
    assert names_of(folder) == ["cells/b.png", "d.png", "more/c.png"]


def test_a_link_to_nothing_is_an_image_that_is_missing(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "c.png").symlink_to(tmp_path / "c.png")
    with pytest.raises(ImageError, match=r'"b\.png" and 1 more does not exist'):
        ImageSource.from_folder(tmp_path)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "b.png")
    assert names_of(tmp_path) == ["a.png"]


@pytest.mark.parametrize("other", ["sub/b.HEIC", "b.svs", "b.dcm", "b.NEF"])
def test_an_image_of_a_format_that_is_not_read_is_not_lost_silently(
    tmp_path: Path, other: str
) -> None:
    touch(tmp_path, "a.png", other)
    with pytest.raises(ImageError, match=rf'holds "{re.escape(other)}".*convert it to PNG'):
        ImageSource.from_folder(tmp_path)


def test_a_name_that_is_not_unicode_is_refused_by_name(tmp_path: Path) -> None:
    """A share or an archive of another system has them; no bag could hold it."""
    path = os.fsencode(tmp_path) + b"/Zelle_\xfc.png"
    try:
        Path(os.fsdecode(path)).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(ImageError, match=r'holds "Zelle_\\xfc\.png", a name that is not UTF-8'):
        ImageSource.from_folder(tmp_path)


def test_a_folder_that_is_gone_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match='folder "gone" cannot be read'):
        ImageSource.from_folder(tmp_path / "gone")


def test_a_canvas_names_its_image_within_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "Ery/0001.png")
    with pytest.raises(ImageError, match=r'image "Ery/0001\.png" is empty'):
        ImageSource.from_folder(tmp_path).open(0)


def test_all_images_that_cannot_be_read_are_named_at_once(
    tmp_path: Path, picture: np.ndarray
) -> None:
    for name in ("a.png", "c.png"):
        Image.fromarray(picture).save(tmp_path / name)
    touch(tmp_path, "b.png")
    source = ImageSource.from_folder(tmp_path)
    met = ImageError("as it was met")
    assert refusal_of_all(source, met) is met
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:100])
    said = str(refusal_of_all(source, met))
    assert said.startswith('2 of 3 images cannot be read: "b.png", "c.png"; of the first: image "b')
    assert refusal_of_all(ImageSource([tmp_path / "b.png"], ["b.png"]), met) is met
