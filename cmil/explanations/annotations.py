"""Areas that a person has drawn, as GeoJSON in level-0 pixels, and the patches that lie in them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohorts.errors import FileFormatError, SettingsError
from cohorts.files import read_json

Ring = NDArray[np.float64]
"""(points, 2) x and y, closed or not."""
Area = Sequence[Ring]
"""An outer ring, and those of its holes."""


def read_areas(path: Path, only_class: str | None = None) -> list[Area]:
    """Read the polygons of a GeoJSON file, as QuPath and others write it.

    Parameters
    ----------
    path
        A FeatureCollection, a list of features, or one feature.
    only_class
        Name of the classification that counts; without it, all do.

    Raises
    ------
    FileFormatError
        If the file is missing, no GeoJSON, or holds something else than polygons.
    """
    areas: list[Area] = []
    for number, feature in enumerate(_features(path)):
        with _named(path, number):
            if only_class is None or _class_of(feature) == only_class:
                areas.extend(_areas_of(feature["geometry"]))
    return areas


def refuse_unknown_class(folder: Path, wanted: str) -> None:
    """Refuse a class that no area has: all patches would count as unmarked.

    Raises
    ------
    SettingsError
        If the files of a folder, `*.geojson` in any depth, hold no area of that class.
    FileFormatError
        As `read_areas`.
    """
    drawn = sorted(folder.rglob("*.geojson"))
    known = set()
    for path in drawn:
        for number, feature in enumerate(_features(path)):
            with _named(path, number):
                known.add(_class_of(feature))
    if drawn and wanted not in known:
        there = ", ".join(f'"{name}"' for name in sorted(filter(None, known)))
        raise SettingsError(
            f'[explanations] annotation_class: no area in "{folder}" is of class "{wanted}"; '
            f"there are {there or 'areas without a class only'}"
        )


def _features(path: Path) -> list[Any]:
    # Somebody drew it: no stage makes it again.
    content = read_json(path, mend="export the annotations again")
    if isinstance(content, dict):
        content = content.get("features", [content])
    if not isinstance(content, list):
        raise FileFormatError(f'"{path}" is no GeoJSON; export a FeatureCollection')
    return content


@contextmanager
def _named(path: Path, number: int) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise FileFormatError(
            f'"{path}": feature {number} is no polygon with coordinates in pixels; '
            "draw areas as polygons"
        ) from error


def _class_of(feature: Any) -> str | None:
    classification = (feature.get("properties") or {}).get("classification")
    return classification["name"] if isinstance(classification, dict) else classification


def _areas_of(geometry: Any) -> Iterator[Area]:
    kind, coordinates = geometry["type"], geometry["coordinates"]
    if kind not in {"Polygon", "MultiPolygon"}:
        raise ValueError(kind)
    for polygon in [coordinates] if kind == "Polygon" else coordinates:
        rings = [np.array(ring, dtype=np.float64)[:, :2] for ring in polygon]
        if any(ring.shape != (len(ring), 2) or len(ring) < 3 for ring in rings):
            raise ValueError(kind)
        if not all(np.isfinite(ring).all() for ring in rings):
            raise ValueError(kind)
        yield rings


def marked_patches(
    areas: Sequence[Area], coords: NDArray[np.int64], side: int
) -> NDArray[np.bool_]:
    """Which patches lie in an area, or hold one.

    A patch is marked if its middle lies in an area, or if the middle of an area lies in it: so
    regions mark what they cover, and single cells the patch that shows them.

    Parameters
    ----------
    coords
        (N, 2) top-left corners in level-0 px.
    side
        Side of a patch in level-0 px.

    Returns
    -------
    (N,) bool.
    """
    middles = coords.astype(np.float64) + side / 2
    marked = np.zeros(len(coords), dtype=bool)
    for area in areas:
        low, high = area[0].min(axis=0), area[0].max(axis=0)
        near = np.flatnonzero(((middles >= low) & (middles <= high)).all(axis=1))
        marked[near] |= _inside(area, middles[near])
        beyond = centroid(area[0]) - coords
        marked |= ((beyond >= 0) & (beyond < side)).all(axis=1)
    return marked


def centroid(ring: Ring) -> NDArray[np.float64]:
    """Middle of a ring's area (Bourke 1988); of a ring without area, of its points. (2,)."""
    origin = ring[0]  # near the ring, for the products' sake
    here = ring - origin
    after = np.roll(here, -1, axis=0)
    doubled = here[:, 0] * after[:, 1] - after[:, 0] * here[:, 1]
    if abs(doubled.sum()) < 1e-9:
        return np.asarray(ring.mean(axis=0), dtype=np.float64)
    middle = ((here + after) * doubled[:, None]).sum(axis=0) / (3 * doubled.sum())
    return np.asarray(origin + middle, dtype=np.float64)


def _inside(area: Area, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each of (P, 2) points is inside by the even-odd rule, so that holes are not."""
    odd = np.zeros(len(points), dtype=bool)
    x, y = points[:, 0], points[:, 1]
    for ring in area:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            crosses = (y0 > y) != (y1 > y)
            if crosses.any():
                with np.errstate(divide="ignore", invalid="ignore"):  # level edges cross nothing
                    odd ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return odd
