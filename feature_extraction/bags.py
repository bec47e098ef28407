"""The bag: patch embeddings of one slide in HDF5. `docs/formats.md` is its specification."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from cohorts.errors import FileFormatError
from cohorts.files import whole_file
from cohorts.hdf5 import (
    Hdf5Format,
    dataset_of,
    map_finite,
    opened,
    read_finite,
    read_whole_numbers,
    refuse_other_length,
    title,
)

FORMAT = "cmil-bag"
FORMAT_VERSION = 1
BAG = Hdf5Format("bag", FORMAT_VERSION, made_by="cmil extract")

Attribute = str | int | float
_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True)
class Bag:
    """Embeddings of the patches of one slide.

    Attributes
    ----------
    features
        (N, D) float16 or float32.
    coords
        (N, 2) int64, top-left x, y in level-0 px of the patch's image.
    attributes
        Root attributes: `slide_id, encoder, encoder_digest, patch_px, mpp_read, mpp_used, ...`;
        of a bag that another program wrote, as many as it states under its own names.
    grid
        Attributes of `coords`, with TRIDENT's names.
    image_index
        (N,) int32, which of `images` a patch was cut from; all 0 for a slide.
    images
        Names of the images of a folder or list; empty for a slide.
    quality
        metric -> (N,) float32.
    """

    features: NDArray[np.floating]
    coords: NDArray[np.int64]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    grid: Mapping[str, Attribute] = field(default_factory=dict)
    image_index: NDArray[np.int32] | None = None
    images: tuple[str, ...] = ()
    quality: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features)


def bag_path(folder: Path, slide_id: str) -> Path:
    """Where the bag of a slide lies."""
    return folder / f"{slide_id}.h5"


def write_bag(path: Path, bag: Bag) -> None:
    """Write `bag` to `path`, whole or not at all; contiguous and uncompressed, to read fast."""
    with whole_file(path) as partial, new_bag_file(partial, bag.attributes, bag.images) as file:
        write_patches(file, bag.coords, bag.grid, bag.image_index, bag.quality)
        features = file.create_dataset("features", data=bag.features, track_times=False)
        features.attrs["encoder"] = str(bag.attributes.get("encoder", "unknown"))


def holds_patches(path: Path) -> bool:
    """Whether there is a bag that is not known to be empty; a rule may have dropped all it had.

    A damaged bag is not known to be empty: who reads it says what is wrong.
    """
    if not path.exists():
        return False
    try:
        return read_bag_attributes(path).get("patches") != 0
    except FileFormatError:
        return True


@contextmanager
def new_bag_file(
    path: Path, attributes: Mapping[str, Attribute], images: Sequence[str]
) -> Iterator[h5py.File]:
    """Begin a bag: what is said of the slide as a whole. The patches are to follow."""
    with h5py.File(path, "w", libver=("v108", "v108")) as file:
        stated = {**attributes, "format": FORMAT, "format_version": FORMAT_VERSION}
        for name, value in sorted(stated.items()):  # the same bytes, whoever collected them
            file.attrs[name] = value
        write_images(file, images)
        yield file


def write_images(file: h5py.File, images: Sequence[str]) -> None:
    """Write the names of images, if there are any.

    They have a fixed length: a damaged string of variable length may state gigabytes, which HDF5
    allocates before it finds them missing.
    """
    if images:
        names = [name.encode() for name in images]
        kind = h5py.string_dtype("utf-8", max(1, *(len(name) for name in names)))
        file.create_dataset("images", data=np.array(names, dtype=kind), track_times=False)


def write_patches(
    group: h5py.Group,
    coords: NDArray[np.int64],
    grid: Mapping[str, Attribute],
    image_index: NDArray[np.int32] | None,
    quality: Mapping[str, NDArray[np.float32]],
) -> None:
    """Write what a bag says of each patch, but for the features, into a group of the file."""
    written = group.create_dataset("coords", data=coords, track_times=False)
    for name, value in sorted(grid.items()):
        written.attrs[name] = value
    if image_index is not None:
        group.create_dataset("image_index", data=image_index, track_times=False)
    for measure, values in sorted(quality.items()):
        group.create_dataset(f"quality/{measure}", data=values, track_times=False)


def read_bag(path: Path, *, mapped: bool = False) -> Bag:
    """Read a bag that this toolkit, TRIDENT or CLAM wrote.

    Parameters
    ----------
    mapped
        Leave the features in the file, as a memory map, if they lie there uncompressed.

    Raises
    ------
    FileFormatError
        If the file is missing, truncated, of a newer format, links to another file, or holds
        NaN, no patch, or arrays that do not match; the line names the file.
    """
    with opened(path, BAG) as file:
        _refuse_stamp(file)
        stored = map_finite(file, "features", BAG) if mapped else None
        if stored is None:
            stored = read_finite(file, "features", BAG)
        features = _without_batch(stored)
        coords = _without_batch(read_whole_numbers(file, "coords", BAG))
        if features.ndim != 2 or not features.size:
            raise FileFormatError(f'bag "{path.name}" holds no patch; extract its slide again')
        if coords.shape != (len(features), 2):
            raise FileFormatError(
                f'bag "{path.name}": coords {coords.shape} do not match features {features.shape}'
            )
        image_index, images = read_images(file, "", len(features))
        return Bag(
            features=features,
            coords=coords,
            attributes=_stated(file),
            grid=attributes_of(file["coords"]),
            image_index=image_index,
            images=images,
            quality=read_quality(file, "", len(features)),
        )


def read_bag_attributes(path: Path) -> Mapping[str, Attribute]:
    """Read only what `read_bag` gives as `attributes`.

    Raises
    ------
    FileFormatError
        If the file is missing, truncated, or of a newer format.
    """
    with opened(path, BAG) as file:
        return _stated(file)


def read_images(
    file: h5py.File, group: str, rows: int
) -> tuple[NDArray[np.int32] | None, tuple[str, ...]]:
    """Read which image each patch of a group is from, and the images' names.

    Raises
    ------
    FileFormatError
        If the numbers name none of the images.
    """
    images = tuple(_texts(file))
    if "image_index" not in file:
        return None, images
    index = read_whole_numbers(file, f"{group}image_index", BAG)
    refuse_other_length(file, f"{group}image_index", index, BAG, rows)
    if (index >= (len(images) or np.iinfo(np.int32).max)).any():
        raise FileFormatError(f"{title(file, BAG)}: image_index names none of its images")
    return index.astype(np.int32), images


def read_quality(file: h5py.File, group: str, rows: int) -> dict[str, NDArray[np.float32]]:
    """Read the quality measures of the patches of a group.

    Raises
    ------
    FileFormatError
        If they do not lie in this file, are not one a patch, or hold NaN, which would pass any
        rule.
    """
    holder: h5py.Group = file[group] if group else file
    if "quality" not in holder:
        return {}
    if not isinstance(holder.get("quality", getlink=True), h5py.HardLink):
        raise FileFormatError(f'{title(file, BAG)}: "quality" is a link to elsewhere; refused')
    if not isinstance(holder["quality"], h5py.Group):
        raise FileFormatError(f'{title(file, BAG)}: "quality" is not a group')
    quality = {}
    for measure in holder["quality"]:
        name = f"{group}quality/{measure}"
        quality[measure] = read_finite(file, name, BAG).astype(np.float32)
        refuse_other_length(file, name, quality[measure], BAG, rows)
    return quality


def attributes_of(holder: h5py.File | h5py.Dataset) -> dict[str, Attribute]:
    """Read the attributes that are text or numbers."""
    plain: dict[str, Attribute] = {}
    for name, value in holder.attrs.items():
        if isinstance(value, bytes):  # a string of fixed length
            plain[name] = value.decode("utf-8", errors="replace")
        elif isinstance(value, np.generic):
            plain[name] = value.item()
        elif isinstance(value, (str, int, float)):
            plain[name] = value
    return plain


def _stated(file: h5py.File) -> dict[str, Attribute]:
    """Collect root attributes; of another program's bag also what it says of encoder and grid.

    TRIDENT names the encoder at `features` and the grid at `coords`. A magnification stands for
    10 / mpp there: what was asked for of a patch, not what the slide was measured to have.
    """
    own = attributes_of(file)
    if own.get("format") == FORMAT:
        return own
    encoder = attributes_of(dataset_of(file, "features", BAG)).get("encoder")
    grid = attributes_of(dataset_of(file, "coords", BAG))
    said: dict[str, Attribute] = {}
    if isinstance(encoder, str) and encoder:
        said["encoder"] = encoder
    if isinstance(grid.get("patch_size"), int):
        said["patch_px"] = grid["patch_size"]
    magnification = grid.get("target_magnification")
    if isinstance(magnification, int | float) and 0 < magnification < math.inf:
        said["mpp_used"] = 10 / magnification
    return {**said, **own}


def _refuse_stamp(file: h5py.File) -> None:
    if "feats" in file and "features" not in file:
        raise FileFormatError(
            f"{title(file, BAG)} is STAMP's: its coords are microns and it does not state the "
            "slide's resolution, so level-0 pixels cannot be told; extract the slide with cmil"
        )


def _without_batch(values: NDArray[_Number]) -> NDArray[_Number]:
    """Drop the leading axis of length 1 that published TRIDENT bags have."""
    return values[0] if values.ndim == 3 and len(values) == 1 else values


def _texts(file: h5py.File) -> list[str]:
    if "images" not in file:
        return []
    names = dataset_of(file, "images", BAG)
    if h5py.check_string_dtype(names.dtype) is None or names.ndim != 1:
        raise FileFormatError(f'{title(file, BAG)}: "images" {names.shape} has type {names.dtype}')
    return [str(name) for name in names.asstr()[()]]
