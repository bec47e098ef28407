"""Folders and lists of ordinary images: fields of view, or single cells."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image, ImageOps

from cohorts.errors import ImageError
from cohorts.manifest import IMAGE_SUFFIXES
from feature_extraction.sources.canvas import Rgb, resized, shrunk
from feature_extraction.units import Level0Px, Mpp, PatchPx

# A field of view has a few million pixels. More than this is a slide, or a file made to exhaust
# memory; Pillow's own limit lies higher and only warns.
MAX_PIXELS = 80_000_000
# Never what the content claims to be: a PostScript file named .png would start another program.
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP")
# What Pillow raises on damaged pixels, headers and EXIF.
_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    struct.error,
    Image.DecompressionBombError,
)


class ImageSource:
    """Images in a given order; each is a canvas."""

    def __init__(self, files: Sequence[Path], names: Sequence[str]) -> None:
        self._files = tuple(files)
        self._names = tuple(names)

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """All images in a folder and the folders below it, in the order of their names."""
        files = sorted(
            file
            for file in folder.rglob("*")
            if file.suffix.lower() in IMAGE_SUFFIXES | {".tif", ".tiff"}
            and not any(part.startswith(".") for part in file.relative_to(folder).parts)
            and file.is_file()
        )
        if not files:
            raise ImageError(f'folder "{folder.name}" holds no image (JPEG, PNG, TIFF or BMP)')
        return cls(files, [file.relative_to(folder).as_posix() for file in files])

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
        files = [listing.parent / name for name in names]
        absent = [name for name, file in zip(names, files, strict=True) if not file.is_file()]
        if absent:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise ImageError(f'list "{listing.name}": "{absent[0]}"{more} does not exist')
        return cls(files, names)

    @property
    def names(self) -> Sequence[str]:
        """The images' names as the folder or list has them."""
        return self._names

    @property
    def files(self) -> Sequence[Path]:
        """The image files."""
        return self._files

    def open(self, index: int) -> "ImageCanvas":
        """Decode image `index`."""
        return ImageCanvas(self._files[index])


class ImageCanvas:
    """A decoded image. Ordinary image formats state no trustworthy resolution, so `mpp` is None."""

    def __init__(self, path: Path) -> None:
        self._pixels = decode_image(path)

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height in px."""
        return self._pixels.shape[1], self._pixels.shape[0]

    @property
    def mpp(self) -> Mpp | None:
        """None: the manifest has to say it."""
        return None

    def read_region(self, x: Level0Px, y: Level0Px, side: Level0Px, out_px: PatchPx) -> Rgb:
        """Cut the square out and resample it."""
        return resized(self._pixels[y : y + side, x : x + side], out_px, out_px)

    def thumbnail(self, longest: int) -> Rgb:
        """Shrink the image."""
        return shrunk(self._pixels, longest)

    def close(self) -> None:
        """Nothing stays open."""

    def __enter__(self) -> Self:
        """Give the decoded image."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing stays open."""


def decode_image(path: Path) -> Rgb:
    """Decode an image file upright, as (height, width, 3) uint8, transparency on white.

    Raises
    ------
    ImageError
        If the file is truncated, no image, or has more than `MAX_PIXELS` pixels.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(
                    f'image "{path.name}" has {image.width} x {image.height} pixels, more than '
                    f"{MAX_PIXELS // 1_000_000} million; give it as a pyramidal TIFF"
                )
            if image.mode in {"I", "F"}:
                raise ImageError(
                    f'image "{path.name}" has 32-bit pixels of unknown range; save it with 8 bits'
                )
            return _as_rgb(ImageOps.exif_transpose(image))
    except _DECODING_ERRORS as error:
        raise ImageError(
            f'image "{path.name}" cannot be decoded ({" ".join(str(error).split())}); '
            "it is truncated or not an image: replace or remove it"
        ) from error


def _as_rgb(image: Image.Image) -> Rgb:
    if image.mode.startswith("I;16"):
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        opaque = image.convert("RGBA")
        backdrop = Image.new("RGBA", opaque.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(backdrop, opaque).convert("RGB"))
    return np.asarray(image.convert("RGB"))
