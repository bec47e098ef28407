"""Where TRIDENT or CLAM found patches: their coordinate files, in place of our own grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cohorts.errors import FileFormatError, ImageError
from cohorts.files import digest_of
from cohorts.hdf5 import Hdf5Format, dataset_of, opened, read_whole_numbers
from feature_extraction.units import Level0Px, PatchPx

if TYPE_CHECKING:
    from feature_extraction.geometry import Geometry

COORDINATES = Hdf5Format("coordinate file", 1, made_by="TRIDENT's or CLAM's segmentation again")

# TRIDENT takes 0.23 and 0.27 microns per pixel for one magnification; more is another setting.
_SIDE_TOLERANCE = 0.1


@dataclass(frozen=True)
class Coordinates:
    """Patches of one slide that another program chose.

    Attributes
    ----------
    coords
        (N, 2) int64, top-left x, y in level-0 px.
    side_level0
        Of a patch, in level-0 px.
    patch_px
        Pixels of a patch as the other program reads it, if stated.
    level0_width, level0_height
        Of the slide, if stated.
    made_by
        "TRIDENT", "CLAM" or "cMIL".
    name
        Of the file, for errors.
    """

    coords: NDArray[np.int64]
    side_level0: Level0Px
    patch_px: PatchPx | None
    level0_width: Level0Px | None
    level0_height: Level0Px | None
    made_by: str
    name: str

    def __len__(self) -> int:
        return len(self.coords)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the corners and the side, not of the file they came in."""
        return digest_of([self.coords.tolist(), self.side_level0])

    def within(self, width: Level0Px, height: Level0Px) -> None:
        """Make sure that these are patches of an image of `width` x `height` level-0 px.

        A patch may overhang the right and lower edge, as CLAM pads them.

        Raises
        ------
        ImageError
            If the file states another size, or a patch begins beyond the image.
        """
        stated = (self.level0_width, self.level0_height)
        if None not in stated and stated != (width, height):
            raise ImageError(
                f'coordinate file "{self.name}" is of a slide of {stated[0]} x {stated[1]} px, '
                f"this one has {width} x {height}; give the file made of this very slide"
            )
        beyond = (self.coords >= (width, height)).any(axis=1)
        if beyond.any():
            x, y = self.coords[beyond][0]
            raise ImageError(
                f'coordinate file "{self.name}" has {beyond.sum()} patches beyond the slide, the '
                f"first at ({x}, {y}) of {width} x {height} px; give the file made of this slide"
            )

    def of(self, geometry: "Geometry") -> NDArray[np.int64]:
        """Give the corners of patches of `geometry`'s side, all of them inside the image.

        What overhangs is moved inwards, as the last row and column of our own grid are.

        Returns
        -------
        (N, 2) int64, x and y in level-0 px

        Raises
        ------
        ImageError
            As `within`, and if the sides differ by more than a tenth.
        """
        self.within(geometry.width, geometry.height)
        if abs(geometry.side / self.side_level0 - 1) > _SIDE_TOLERANCE:
            raise ImageError(
                f'coordinate file "{self.name}" has patches of {self.side_level0} level-0 px, the '
                f"settings ask for {geometry.side}; set mpp and patch_px to what {self.made_by} "
                "was given"
            )
        last = (geometry.width - geometry.side, geometry.height - geometry.side)
        return np.minimum(self.coords, last)


def coordinates_path(folder: Path, slide_id: str) -> Path:
    """Find a slide's coordinate file in `folder` or its folder `patches`.

    Raises
    ------
    FileFormatError
        If it is not there; the line names what was looked for.
    """
    names = (f"{slide_id}_patches.h5", f"{slide_id}.h5")
    for place in (folder, folder / "patches"):
        for name in names:
            if (place / name).is_file():
                return place / name
    raise FileFormatError(
        f'slide "{slide_id}" has no coordinate file: neither "{names[0]}" nor "{names[1]}" lies '
        f'in "{folder}" or its folder "patches"; segment the slide or give another folder'
    )


def read_coordinates(path: Path) -> Coordinates:
    """Read a coordinate file of TRIDENT or CLAM, or the coordinates in a bag of one slide.

    Raises
    ------
    FileFormatError
        If the file is missing or damaged, does not state the size of a patch, or holds corners
        that no slide can have; the line names the file.
    """
    with opened(path, COORDINATES) as file:
        if "image_index" in file:
            raise _refusal(path, "is of several images, not of one slide")
        dataset = dataset_of(file, "coords", COORDINATES)
        coords = read_whole_numbers(file, "coords", COORDINATES)
        if coords.ndim != 2 or coords.shape[1] != 2 or not len(coords):
            raise _refusal(path, f"has coords {coords.shape}, not one x and y for each patch")
        attributes = dict(dataset.attrs)
        made_by, side, size = _grid(path, attributes, own=file.attrs.get("format"))
        patch_px = _numbers(attributes, "patch_size", 1)
    if size and (coords >= size).any():
        raise _refusal(path, f"has patches beyond the {size[0]} x {size[1]} px it states itself")
    return Coordinates(
        coords=coords,
        side_level0=Level0Px(side),
        patch_px=PatchPx(round(patch_px[0])) if patch_px else None,
        level0_width=Level0Px(size[0]) if size else None,
        level0_height=Level0Px(size[1]) if size else None,
        made_by=made_by,
        name=path.name,
    )


def _grid(
    path: Path, attributes: Mapping[str, object], own: object
) -> tuple[str, int, tuple[int, int] | None]:
    """Tell whose file it is, the side of a patch and the size of the slide, in level-0 px."""
    if "patch_level" in attributes:
        return ("CLAM", *_clam_grid(path, attributes))
    side = _numbers(attributes, "patch_size_level0", 1) or _side_by_magnification(attributes)
    if not side:
        raise _refusal(
            path,
            "does not state the size of a patch (patch_size_level0, or patch_level and "
            "downsample); give the folder of patches, not of features",
        )
    width = _numbers(attributes, "level0_width", 1)
    height = _numbers(attributes, "level0_height", 1)
    size = (round(width[0]), round(height[0])) if width and height else None
    return "cMIL" if own == "cmil-bag" else "TRIDENT", _whole_side(path, side[0]), size


def _side_by_magnification(attributes: Mapping[str, object]) -> tuple[float, ...] | None:
    """Older files of TRIDENT leave the side to the reader: patch_size * level0 // target."""
    names = ("patch_size", "level0_magnification", "target_magnification")
    stated = [_numbers(attributes, name, 1) for name in names]
    if not all(stated):
        return None
    patch, level0, target = (number[0] for number in stated if number)
    return (float(patch * level0 // target),) if target > 0 else None


def _clam_grid(path: Path, attributes: Mapping[str, object]) -> tuple[int, tuple[int, int] | None]:
    """CLAM states a patch in pixels of a level, and that level's size and downsample in x and y."""
    patch = _numbers(attributes, "patch_size", 1)
    level = _numbers(attributes, "patch_level", 1)
    downsample = _numbers(attributes, "downsample", 2) or _numbers(attributes, "downsample", 1)
    if not patch or not level or not downsample:
        raise _refusal(path, "does not state patch_size, patch_level and downsample as numbers")
    if min(downsample) <= 0 or max(downsample) / min(downsample) > 1.01:
        raise _refusal(path, f"states a downsample of {downsample}, by which no patch is square")
    size = _numbers(attributes, "level_dim", 2) if level[0] == 0 else None
    whole = (round(size[0]), round(size[1])) if size else None
    return _whole_side(path, patch[0] * downsample[0]), whole


def _whole_side(path: Path, side: float) -> int:
    if not 1 <= side <= np.iinfo(np.int32).max:
        raise _refusal(path, f"states patches of {side:g} level-0 px")
    return round(side)


def _numbers(attributes: Mapping[str, object], name: str, length: int) -> tuple[float, ...] | None:
    """Read `length` finite numbers, or nothing: TRIDENT writes the text "None" for the unknown."""
    value: object = attributes.get(name)
    if isinstance(value, str | bytes) or value is None:
        return None
    numbers: Sequence[object] = np.ravel(np.asarray(value)).tolist()
    finite = [float(n) for n in numbers if isinstance(n, int | float) and np.isfinite(n)]
    return tuple(finite) if len(finite) == len(numbers) == length else None


def _refusal(path: Path, what: str) -> FileFormatError:
    return FileFormatError(f'coordinate file "{path.name}" {what}')
