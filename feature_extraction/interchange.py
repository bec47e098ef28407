"""Bags for other programs: written as TRIDENT or CLAM lays them out, from bags of our own."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from cohorts.errors import DataError, FileFormatError, SettingsError
from cohorts.files import digest_of, digest_of_file, whole_file
from cohorts.hdf5 import dataset_of, opened
from feature_extraction.bags import (
    BAG,
    Attribute,
    Bag,
    attributes_of,
    holds_patches,
    read_bag,
    read_bag_attributes,
    write_images,
)

# Raised when a change of this module changes what is written.
_EXPORT_VERSION = 1
_GRID = ("patch_size", "patch_size_level0", "level0_magnification", "target_magnification")
_SEVERAL = "coords are of several images, see image_index; maps and neighbours do not apply"

Layout = Literal["trident", "clam"]
Precision = Literal["float32", "float16"]


@dataclass(frozen=True)
class ExportedBag:
    """What became of one bag.

    Attributes
    ----------
    path
        Of the file with the features; of the bag itself where it is passed over.
    state
        "reused": it was there, made from the same bag; "passed over": the bag keeps no patch.
    note
        What another program has to know of it, or empty.
    """

    slide_id: str
    path: Path
    state: Literal["made", "reused", "passed over"]
    note: str


def export_bags(
    folder: Path,
    out: Path,
    *,
    layout: Layout,
    dtype: Precision = "float32",
) -> list[ExportedBag]:
    """Write the kept patches of every bag in `folder` below `out`, as another program does.

    Each file is whole or not there. One that was made from the same bag is left as it is; a bag
    whose patches the rule dropped altogether is passed over.

    Parameters
    ----------
    layout
        `trident`: a job folder; `clam`: the folder `h5_files`. No `pt_files`: they are pickles.
    dtype
        Of the features; models of CLAM and torchmil take no float16.

    Raises
    ------
    SettingsError
        If `out` is the folder of bags or lies in it.
    DataError
        If there is no bag, bags are of two encoders, or one does not fit the layout.
    FileFormatError
        If a bag is damaged.
    """
    if out.resolve().is_relative_to(folder.resolve()):
        raise SettingsError(f'"{out}" lies in the folder of bags; name another folder to export to')
    paths = sorted(path for path in folder.glob("*.h5") if not path.name.startswith("."))
    if not paths:
        raise DataError(f'"{folder}" holds no bag (.h5); name the folder that cmil extract filled')
    _check_one_encoder(paths)
    return [_export(path, out, layout, dtype) for path in paths]


def _check_one_encoder(paths: list[Path]) -> None:
    """Refuse what readers would mix unawares: an exported bag does not state its weights."""
    first = read_bag_attributes(paths[0])
    for path in paths[1:]:
        other = read_bag_attributes(path)
        for name in ("encoder", "encoder_digest", "dimension"):
            if first.get(name) != other.get(name):
                raise DataError(
                    f'bags "{paths[0].stem}" and "{path.stem}" differ in {name}; export bags of '
                    "one encoder at a time"
                )


def _export(path: Path, out: Path, layout: Layout, dtype: Precision) -> ExportedBag:
    if not holds_patches(path):
        return ExportedBag(path.stem, path, "passed over", "no patch passes the rule")
    write = {"trident": _write_trident, "clam": _write_clam}[layout]
    attributes = read_bag_attributes(path)
    identity = dict(attributes) if "made_by" in attributes else digest_of_file(path)
    made_from = digest_of([_EXPORT_VERSION, layout, dtype, identity])
    return write(path, out, dtype, made_from)


def _write_trident(path: Path, out: Path, dtype: Precision, made_from: str) -> ExportedBag:
    slide_id = path.stem
    with opened(path, BAG) as file:
        grid = attributes_of(dataset_of(file, "coords", BAG))
        several = "image_index" in file
    encoder = read_bag_attributes(path).get("encoder", "unknown")
    job = out / _job_folder(slide_id, grid)
    patches = job / "patches" / f"{slide_id}_patches.h5"
    features = job / f"features_{_safe(str(encoder))}" / f"{slide_id}.h5"
    note = _SEVERAL if several else ""
    if _made_from(patches) == _made_from(features) == made_from:
        return ExportedBag(slide_id, features, "reused", note)
    bag = read_bag(path)
    stated = {"overlap": 0, **grid, "name": slide_id}
    with _export_file(patches, made_from, bag) as file:
        _write_coords(file, bag.coords, {**stated, "savetodir": patches.parent.name})
    with _export_file(features, made_from, bag) as file:
        of_features = {"name": slide_id, "savetodir": features.parent.name, "encoder": encoder}
        written = file.create_dataset("features", data=_cast(bag, dtype, path), track_times=False)
        written.attrs.update(of_features)
        _write_coords(file, bag.coords, {**stated, "savetodir": patches.parent.name})
    return ExportedBag(slide_id, features, "made", note)


def _write_clam(path: Path, out: Path, dtype: Precision, made_from: str) -> ExportedBag:
    target = out / "h5_files" / path.name
    with opened(path, BAG) as file:
        note = _SEVERAL if "image_index" in file else ""
    if _made_from(target) == made_from:
        return ExportedBag(path.stem, target, "reused", note)
    bag = read_bag(path)
    if np.abs(bag.coords).max() > np.iinfo(np.int32).max:
        raise DataError(
            f'bag "{path.stem}" has coords beyond 32 bits, which CLAM keeps; use trident'
        )
    with _export_file(target, made_from, bag) as file:
        file.create_dataset("features", data=_cast(bag, dtype, path), track_times=False)
        _write_coords(file, bag.coords.astype(np.int32), {})
    return ExportedBag(path.stem, target, "made", note)


@contextmanager
def _export_file(path: Path, made_from: str, bag: Bag) -> Iterator[h5py.File]:
    with whole_file(path) as partial, h5py.File(partial, "w", libver=("v108", "v108")) as file:
        file.attrs["exported_from"] = made_from
        if bag.image_index is not None:
            file.attrs["note"] = _SEVERAL
            file.create_dataset("image_index", data=bag.image_index, track_times=False)
            write_images(file, bag.images)
        yield file


def _write_coords(
    file: h5py.File, coords: NDArray[np.integer], attributes: Mapping[str, Attribute]
) -> None:
    written = file.create_dataset("coords", data=coords, track_times=False)
    written.attrs.update(attributes)


def _cast(bag: Bag, dtype: Precision, path: Path) -> NDArray[np.floating]:
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        features = bag.features.astype(dtype, copy=False)
    if dtype == "float16" and features is not bag.features and not np.isfinite(features).all():
        raise DataError(f'bag "{path.stem}" has numbers too large for float16; use float32')
    return features


def _job_folder(slide_id: str, grid: Mapping[str, Attribute]) -> str:
    """Name it `20x_256px_0px_overlap`, as TRIDENT does."""
    missing = [name for name in _GRID if not isinstance(grid.get(name), int | float)]
    if missing:
        raise DataError(
            f'bag "{slide_id}" does not state {", ".join(missing)}, which TRIDENT\'s readers need; '
            "use the layout clam"
        )
    magnification = f"{grid['target_magnification']:.4g}"
    return f"{magnification}x_{grid['patch_size']}px_{grid.get('overlap', 0)}px_overlap"


def _safe(encoder: str) -> str:
    """Make an encoder's name one that a folder may have on every system."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", encoder)


def _made_from(path: Path) -> str:
    try:
        with opened(path, BAG) as file:
            return str(file.attrs.get("exported_from", ""))
    except FileFormatError:
        return ""  # absent or no export of ours: it is written anew
