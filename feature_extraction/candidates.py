"""All patches of a bag that were embedded: those the rule kept, and those it dropped.

What is dropped lies, embeddings included, in the bag's group `dropped`, where readers of other
programs do not look. Another rule can therefore be applied without reading a slide.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cohorts.errors import FileFormatError
from cohorts.files import whole_file
from cohorts.hdf5 import dataset_of, opened, read_rows, read_whole_numbers, title
from feature_extraction.bags import (
    BAG,
    Attribute,
    attributes_of,
    new_bag_file,
    read_images,
    read_quality,
    write_patches,
)

_BLOCK_ROWS = 4096
_KEPT, _DROPPED = "", "dropped/"


@dataclass(frozen=True)
class Candidates:
    """What a bag says of every embedded patch, but for the features, in the order of reading.

    Attributes
    ----------
    coords
        (N, 2) int64, top-left x, y in level-0 px.
    reason
        (N,) uint8, why a patch was dropped as an index into `reasons`; 0 is kept.
    reasons
        Their names; the first is "kept".
    quality
        measure -> (N,) float32.
    image_index, images, attributes, grid
        As of a `Bag`.
    """

    coords: NDArray[np.int64]
    reason: NDArray[np.uint8]
    reasons: tuple[str, ...]
    quality: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    image_index: NDArray[np.int32] | None = None
    images: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    grid: Mapping[str, Attribute] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.coords)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(N,) whether the rule kept a patch."""
        return np.asarray(self.reason == 0)

    def counts(self) -> dict[str, int]:
        """How many patches met each fate."""
        numbers = np.bincount(self.reason, minlength=len(self.reasons))
        return {name: int(number) for name, number in zip(self.reasons, numbers, strict=True)}


def write_candidates(
    path: Path, candidates: Candidates, features: Iterable[NDArray[np.floating]]
) -> None:
    """Write a bag, whole or not at all, without ever holding all features.

    Parameters
    ----------
    path
        Of the bag.
    candidates
        Everything else. A bag that keeps no patch serves nobody, but another rule may take
        patches back.
    features
        Blocks of (n, D) that together are the rows of `candidates`.
    """
    attributes = dict(candidates.attributes)
    attributes["patches"] = int(candidates.kept.sum())
    attributes["dropped"] = len(candidates) - int(candidates.kept.sum())
    with whole_file(path) as partial, new_bag_file(partial, attributes, candidates.images) as file:
        _write_group(file, candidates, candidates.kept)
        if not candidates.kept.all():
            dropped = file.create_group("dropped")
            _write_group(dropped, candidates, ~candidates.kept)
            reason = candidates.reason[~candidates.kept]
            written = dropped.create_dataset("reason", data=reason, track_times=False)
            written.attrs["names"] = json.dumps(candidates.reasons)
        _write_features(file, candidates, features)


def _write_group(group: h5py.Group, candidates: Candidates, rows: NDArray[np.bool_]) -> None:
    index = candidates.image_index
    write_patches(
        group,
        candidates.coords[rows],
        candidates.grid,
        None if index is None else index[rows],
        {measure: values[rows] for measure, values in candidates.quality.items()},
    )


def _write_features(
    file: h5py.File, candidates: Candidates, features: Iterable[NDArray[np.floating]]
) -> None:
    groups = {_KEPT: candidates.kept, _DROPPED: ~candidates.kept}
    groups = {name: rows for name, rows in groups.items() if name == _KEPT or rows.any()}
    first, written = 0, dict.fromkeys(groups, 0)
    for block in features:
        for name, rows in groups.items():
            if first == 0:
                shape = (int(rows.sum()), block.shape[1])
                dataset = file.create_dataset(
                    f"{name}features", shape, block.dtype, track_times=False
                )
                dataset.attrs["encoder"] = str(candidates.attributes.get("encoder", "unknown"))
            chosen = block[rows[first : first + len(block)]]
            start = written[name]
            file[f"{name}features"][start : start + len(chosen)] = chosen
            written[name] += len(chosen)
        first += len(block)
    if first != len(candidates):
        raise ValueError(f"{first} rows of features for {len(candidates)} patches")


def read_candidates(path: Path) -> Candidates:
    """Read all of a bag but the features.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, of a newer format, or holds arrays that do not match.
    """
    with opened(path, BAG) as file:
        groups = [_KEPT, _DROPPED] if "dropped" in file else [_KEPT]
        parts = [_read_group(file, group) for group in groups]
        order = _order_of_reading(parts)
        index = [part.image_index for part in parts if part.image_index is not None]
        return Candidates(
            coords=np.concatenate([part.coords for part in parts])[order],
            reason=np.concatenate([part.reason for part in parts])[order],
            reasons=parts[-1].reasons,
            quality={
                measure: np.concatenate([part.quality[measure] for part in parts])[order]
                for measure in parts[0].quality
            },
            image_index=np.concatenate(index)[order] if index else None,
            images=parts[0].images,
            attributes=attributes_of(file),
            grid=attributes_of(file["coords"]),
        )


def candidate_features(path: Path) -> Iterator[NDArray[np.floating]]:
    """Read the features of all candidates, in blocks, in the order of `read_candidates`.

    Raises
    ------
    FileFormatError
        As `read_candidates`.
    """
    kept = read_candidates(path).kept
    with opened(path, BAG) as file:
        groups = {_KEPT: kept, _DROPPED: ~kept}
        done = dict.fromkeys(groups, 0)
        for first in range(0, len(kept), _BLOCK_ROWS):
            length = min(_BLOCK_ROWS, len(kept) - first)
            parts = []
            for name, rows in groups.items():
                chosen = rows[first : first + length]
                if chosen.any():
                    dataset = dataset_of(file, f"{name}features", BAG)
                    stop = done[name] + int(chosen.sum())
                    parts.append((chosen, dataset[done[name] : stop]))
                    done[name] = stop
            block = np.empty((length, parts[0][1].shape[1]), dtype=parts[0][1].dtype)
            for chosen, values in parts:
                block[chosen] = values
            yield block


def _read_group(file: h5py.File, group: str) -> Candidates:
    coords = read_whole_numbers(file, f"{group}coords", BAG)
    features = dataset_of(file, f"{group}features", BAG)
    if coords.ndim != 2 or features.ndim != 2 or coords.shape != (len(features), 2):
        raise FileFormatError(
            f"{title(file, BAG)}: {group}coords {coords.shape} do not match {group}features "
            f"{features.shape}"
        )
    reason = np.zeros(len(coords), dtype=np.uint8)
    reasons: tuple[str, ...] = ("kept",)
    if group == _DROPPED:
        numbers = read_rows(file, "dropped/reason", "u", BAG, len(coords))
        reasons = _names_of_reasons(file, numbers)
        reason = numbers.astype(np.uint8)
    index, images = read_images(file, group, len(coords))
    quality = read_quality(file, group, len(coords))
    return Candidates(coords, reason, reasons, quality, index, images)


def _names_of_reasons(file: h5py.File, reason: NDArray[np.generic]) -> tuple[str, ...]:
    stated = attributes_of(file["dropped/reason"]).get("names", "")
    try:
        names = tuple(str(name) for name in json.loads(str(stated)))
    except (json.JSONDecodeError, TypeError) as error:
        raise FileFormatError(f"{title(file, BAG)}: the names of reasons are no list") from error
    if len(reason) and not 0 < reason.min() <= reason.max() < len(names):
        raise FileFormatError(f"{title(file, BAG)}: a patch is dropped for no reason that is named")
    return names


def _order_of_reading(parts: list[Candidates]) -> NDArray[np.intp]:
    """Image after image, row after row: the order in which the grid was walked."""
    x, y = np.concatenate([part.coords for part in parts]).T
    index = [part.image_index for part in parts if part.image_index is not None]
    image = np.concatenate(index) if index else np.zeros(len(x), dtype=np.int32)
    return np.lexsort((x, y, image))
