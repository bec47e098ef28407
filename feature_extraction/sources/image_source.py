"""Folders and lists of ordinary images: fields of view, or single cells."""

import os
import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self

from cohorts.errors import AccessError, ImageError
from cohorts.manifest import IMAGE_SUFFIXES
from feature_extraction.sources.canvas import Canvas, Rgb, Source, resized, shrunk
from feature_extraction.sources.image_decoding import decode_image
from feature_extraction.units import Level0Px, Mpp, PatchPx

_READ = IMAGE_SUFFIXES | {".tif", ".tiff", ".jpe", ".jfif"}
# Images all the same: a folder that holds one is not complete without it. Ordinary ones, those of
# slide scanners, of microscopes and of cameras.
_OTHER_IMAGES = (
    "gif webp heic heif avif jp2 j2k jpx jpf jpc jxl jxr pbm pgm ppm pnm tga psd xcf dng "
    "svs ndpi ndpis mrxs scn bif vms vmu svslide sdpc kfb tmap dcm dicom zvi "
    "czi lif lsm vsi oir oib nd2 stk ims "
    "nef cr2 cr3 arw orf rw2 raf pef raw"
)
_NOT_READ = frozenset(f".{suffix}" for suffix in _OTHER_IMAGES.split())
# What a storage server, an archive or a wastebasket leaves in a folder: thumbnails and rests.
_NOT_OURS = frozenset({"@eadir", "__macosx", "$recycle.bin"})
_READERS = 2


class ImageSource:
    """Images in a given order; each is a canvas."""

    def __init__(self, files: Sequence[Path], names: Sequence[str]) -> None:
        self._files = tuple(files)
        self._names = tuple(names)

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """All images in a folder and the folders below it, in the order of their names.

        The order is that of the composed (NFC) names' code points, the same on every system. A
        link to a folder is followed, each folder is read once, and a link to a folder that holds
        this one is not followed: other patients may lie there.
        """
        found = list(_files_below(folder))
        other = [file for file in found if file.suffix.lower() in _NOT_READ]
        if other:
            raise ImageError(
                f'folder "{folder.name}" holds "{_shown(min(other).relative_to(folder))}", a '
                "format that is not read in folders; convert it to PNG, move it out of the folder, "
                "or give a slide a row of its own"
            )
        images = [file for file in found if file.suffix.lower() in _READ]
        if not images:
            raise ImageError(f'folder "{folder.name}" holds no image (JPEG, PNG, TIFF or BMP)')
        spelt = [_in_unicode(file.relative_to(folder), folder.name) for file in images]
        named = sorted(
            (unicodedata.normalize("NFC", name), name, file)
            for name, file in zip(spelt, images, strict=True)
        )
        links = [(name, file) for name, _, file in named if file.is_symlink()]
        _refuse_absent(f'folder "{folder.name}"', links)
        return cls([file for *_, file in named], [name for name, *_ in named])

    @classmethod
    def from_list(cls, listing: Path) -> Self:
        """Images named one per line in a text file, relative to that file."""
        try:
            lines = listing.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ImageError(f'list "{listing.name}" is not UTF-8 text') from error
        except OSError as error:
            raise ImageError(f'list "{listing.name}" cannot be read: {error.strerror}') from error
        names = [line.strip() for line in lines if line.strip()]
        if not names:
            raise ImageError(f'list "{listing.name}" names no image')
        files = [_as_spelt_on_disk(listing.parent, name) for name in names]
        _refuse_absent(f'list "{listing.name}"', list(zip(names, files, strict=True)))
        return cls(files, [unicodedata.normalize("NFC", name) for name in names])

    @property
    def names(self) -> Sequence[str]:
        """The images' names as the folder or list has them, letters composed (NFC)."""
        return self._names

    @property
    def files(self) -> Sequence[Path]:
        """The image files."""
        return self._files

    def open(self, index: int) -> "ImageCanvas":
        """Decode image `index`."""
        return ImageCanvas(self._files[index], self._names[index])


class ImageCanvas(Canvas):
    """A decoded image. Ordinary image formats state no trustworthy resolution, so `mpp` is None."""

    def __init__(self, path: Path, name: str) -> None:
        self._image = decode_image(path, name)

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height in px."""
        height, width = self._image.pixels.shape[:2]
        return width, height

    @property
    def mpp(self) -> Mpp | None:
        """None: the manifest has to say it."""
        return None

    @property
    def reader(self) -> str:
        """Ordinary images."""
        return "image"

    @property
    def colour_profile(self) -> bytes | None:
        """The ICC profile that the pixels still need to become sRGB."""
        return self._image.colour_profile

    def read_region(self, x: Level0Px, y: Level0Px, side: Level0Px, out_px: PatchPx) -> Rgb:
        """Cut the square out and resample it."""
        return resized(self._image.pixels[y : y + side, x : x + side], out_px, out_px)

    def thumbnail(self, longest: int) -> Rgb:
        """Shrink the image."""
        return shrunk(self._image.pixels, longest)

    def close(self) -> None:
        """Nothing stays open."""


def refusal_of_all(source: Source, met: ImageError) -> ImageError:
    """Name every image of `source` that cannot be read, once `met` told of one.

    A patient's images must be complete, so one that cannot be read fails the slide; whoever has to
    mend a folder of thousands needs all of them at once.
    """
    count = len(source.names)
    if count < 2:
        return met
    with ThreadPoolExecutor(_READERS) as pool:
        said = list(pool.map(partial(_refusal, source), range(count)))
    bad = [index for index, refusal in enumerate(said) if refusal]
    if len(bad) < 2:
        return met
    names = ", ".join(f'"{source.names[index]}"' for index in bad)
    return ImageError(
        f"{len(bad)} of {count} images cannot be read: {names}; of the first: {said[bad[0]]}"
    )


def _refusal(source: Source, index: int) -> str:
    try:
        source.open(index).close()
    except ImageError as error:
        return str(error)
    return ""


def _in_unicode(file: Path, folder: str) -> str:
    """Give a name as a bag can hold it; another system's letters would be lost in it."""
    try:
        file.as_posix().encode()
    except UnicodeEncodeError as error:
        raise ImageError(
            f'folder "{folder}" holds "{_shown(file)}", a name that is not UTF-8; rename the file '
            "(convmv -f latin1 -t utf8 does it for a whole folder)"
        ) from error
    return file.as_posix()


def _shown(file: Path) -> str:
    return file.as_posix().encode(errors="surrogateescape").decode(errors="backslashreplace")


def _files_below(folder: Path) -> Iterator[Path]:
    """Every file below that is not hidden; folders behind links last, so that own names win."""
    seen = set(folder.resolve().parents)
    waiting = deque([folder])
    while waiting:
        here = waiting.popleft()
        real = here.resolve()
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(here) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise AccessError(
                f'folder "{here.name}" cannot be read ({error.strerror}); check permissions, the '
                "disk or network share"
            ) from error
        for entry in inside:
            if entry.name.startswith(".") or entry.name.casefold() in _NOT_OURS:
                continue
            path = here / entry.name
            if entry.is_symlink():
                if path.is_dir():
                    waiting.append(path)
                else:
                    yield path  # where it leads nowhere, the image is missing
            elif entry.is_dir():
                waiting.appendleft(path)
            elif entry.is_file():
                yield path


def _as_spelt_on_disk(folder: Path, name: str) -> Path:
    """Find a listed image whose letters a Mac decomposed, or whose folders Windows parted."""
    for spelt in (name, name.replace("\\", "/")):
        for form in ("NFC", "NFD"):
            file = folder / unicodedata.normalize(form, spelt)
            if _is_file(file):
                return file
    return folder / name


def _refuse_absent(what: str, named: Sequence[tuple[str, Path]]) -> None:
    absent = [name for name, file in named if not _is_file(file)]
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise ImageError(f'{what}: "{absent[0]}"{more} does not exist')


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the disk, a folder one may not enter
        return False
