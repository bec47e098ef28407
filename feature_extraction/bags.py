"""The bag: patch embeddings of one slide in HDF5. `docs/formats.md` is its specification."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cohorts.errors import FileFormatError
from cohorts.files import whole_file
from cohorts.hdf5 import Hdf5Format, dataset_of, opened, read_array, read_rows, title

FORMAT = "cmil-bag"
FORMAT_VERSION = 1
BAG = Hdf5Format("bag", FORMAT_VERSION, made_by="cmil extract")

Attribute = str | int | float


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
        empty for a bag that another program wrote.
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


@contextmanager
def new_bag_file(
    path: Path, attributes: Mapping[str, Attribute], images: Sequence[str]
) -> Iterator[h5py.File]:
    """Begin a bag: what is said of the slide as a whole. The patches are to follow."""
    with h5py.File(path, "w", libver=("v108", "v108")) as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        for name, value in attributes.items():
            file.attrs[name] = value
        if images:
            strings = h5py.string_dtype()
            file.create_dataset("images", data=list(images), dtype=strings, track_times=False)
        yield file


def write_patches(
    group: h5py.Group,
    coords: NDArray[np.int64],
    grid: Mapping[str, Attribute],
    image_index: NDArray[np.int32] | None,
    quality: Mapping[str, NDArray[np.float32]],
) -> None:
    """Write what a bag says of each patch, but for the features, into a group of the file."""
    written = group.create_dataset("coords", data=coords, track_times=False)
    for name, value in grid.items():
        written.attrs[name] = value
    if image_index is not None:
        group.create_dataset("image_index", data=image_index, track_times=False)
    for measure, values in quality.items():
        group.create_dataset(f"quality/{measure}", data=values, track_times=False)


def read_bag(path: Path) -> Bag:
    """Read a bag that this toolkit, TRIDENT or CLAM wrote.

    Raises
    ------
    FileFormatError
        If the file is missing, truncated, of a newer format, links to another file, or holds
        NaN, no patch, or arrays that do not match; the line names the file.
    """
    with opened(path, BAG) as file:
        features = _floats(file, "features")
        coords = read_array(file, "coords", "iu", BAG).astype(np.int64)
        if features.ndim != 2 or not len(features):
            raise FileFormatError(f'bag "{path.name}" holds no patch; extract its slide again')
        if coords.shape != (len(features), 2):
            raise FileFormatError(
                f'bag "{path.name}": coords {coords.shape} do not match features {features.shape}'
            )
        if not np.isfinite(features).all():
            raise FileFormatError(f'bag "{path.name}" holds NaN or infinity; extract it again')
        image_index, images = read_images(file, "", len(features))
        return Bag(
            features=features,
            coords=coords,
            attributes=attributes_of(file),
            grid=attributes_of(file["coords"]),
            image_index=image_index,
            images=images,
            quality=read_quality(file, "", len(features)),
        )


def read_bag_attributes(path: Path) -> Mapping[str, Attribute]:
    """Read only a bag's root attributes.

    Raises
    ------
    FileFormatError
        If the file is missing, truncated, or of a newer format.
    """
    with opened(path, BAG) as file:
        return attributes_of(file)


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
    index = read_rows(file, f"{group}image_index", "iu", BAG, rows).astype(np.int32)
    if images and not ((index >= 0) & (index < len(images))).all():
        raise FileFormatError(f"{title(file, BAG)}: image_index names none of its images")
    return index, images


def read_quality(file: h5py.File, group: str, rows: int) -> dict[str, NDArray[np.float32]]:
    """Read the quality measures of the patches of a group.

    Raises
    ------
    FileFormatError
        If they do not lie in this file or are not one a patch.
    """
    holder: h5py.Group = file[group] if group else file
    if "quality" not in holder:
        return {}
    if not isinstance(holder.get("quality", getlink=True), h5py.HardLink):
        raise FileFormatError(f'{title(file, BAG)}: "quality" is a link to elsewhere; refused')
    if not isinstance(holder["quality"], h5py.Group):
        raise FileFormatError(f'{title(file, BAG)}: "quality" is not a group')
    return {
        measure: read_rows(file, f"{group}quality/{measure}", "f", BAG, rows).astype(np.float32)
        for measure in holder["quality"]
    }


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


def _floats(file: h5py.File, name: str) -> NDArray[np.floating]:
    values = read_array(file, name, "f", BAG)
    if values.dtype == np.float16:
        return values.astype(np.float16, copy=False)
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        return values.astype(np.float32, copy=False)


def _texts(file: h5py.File) -> list[str]:
    if "images" not in file:
        return []
    names = dataset_of(file, "images", BAG)
    if h5py.check_string_dtype(names.dtype) is None or names.ndim != 1:
        raise FileFormatError(f'{title(file, BAG)}: "images" {names.shape} has type {names.dtype}')
    return [str(name) for name in names.asstr()[()]]
