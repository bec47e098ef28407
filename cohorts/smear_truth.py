"""What a drawn smear holds and where: the truth that attention and patches are checked against."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohorts.errors import FileFormatError
from cohorts.files import read_json, write_json

_FORMAT, _VERSION = "cmil-smear-truth", 1


@dataclass(frozen=True)
class Ellipse:
    """An elliptic area of a smear, in level-0 pixels; `angle` turns `semi_x` away from the x axis.

    Its border is where the described change (blur, thickness) has reached half its strength.
    """

    x: float
    y: float
    semi_x: float
    semi_y: float
    angle: float

    def radius(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance from the centre of each point: below 1 inside, 1 on the border (broadcast)."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        along = (x - self.x) * cosine + (y - self.y) * sine
        across = (y - self.y) * cosine - (x - self.x) * sine
        return np.asarray(np.hypot(along / self.semi_x, across / self.semi_y), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class SmearTruth:
    """Where the tumour cells and the unreadable areas of one slide lie, in level-0 pixels.

    Attributes
    ----------
    width, height
        Size of the slide at level 0.
    mpp
        Microns per pixel at level 0.
    tumour_cells
        (cells, 3) float64: x and y of the centre of the nucleus, radius of the cell.
    out_of_focus, over_thick
        The areas that a reader would pass over.
    edge
        (points, 2) float64, x and y from top to bottom: right of this line lies bare glass.
    """

    width: int
    height: int
    mpp: float
    tumour_cells: NDArray[np.float64]
    out_of_focus: tuple[Ellipse, ...]
    over_thick: tuple[Ellipse, ...]
    edge: NDArray[np.float64]

    def on_glass(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each point (broadcast) lies beyond the end of the smear."""
        return np.asarray(x > np.interp(y, self.edge[:, 1], self.edge[:, 0]), dtype=np.bool_)

    def readable(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each point (broadcast) lies in the monolayer: smear, in focus, not over-thick."""
        unreadable = self.on_glass(x, y)
        for area in (*self.out_of_focus, *self.over_thick):
            unreadable = unreadable | (area.radius(x, y) < 1)
        return ~unreadable

    @property
    def readable_fraction(self) -> float:
        """Share of the slide that is readable monolayer, on a grid of 200 by 200 points."""
        x = (np.arange(200) + 0.5) * self.width / 200
        y = (np.arange(200) + 0.5) * self.height / 200
        return float(self.readable(x[None, :], y[:, None]).mean())


def tumour_patches(
    truth: SmearTruth, coords: NDArray[np.int64], patch_size_level0: int
) -> NDArray[np.bool_]:
    """Which patches show tumour: those that hold the nucleus centre of at least one tumour cell.

    A cell cut by the border thus belongs to the patch that shows the larger part of it, and of
    patches that do not overlap exactly one holds each cell.

    Parameters
    ----------
    truth
        Of the slide the patches were cut from.
    coords
        (patches, 2) x and y of the top-left corners, level-0 pixels.
    patch_size_level0
        Side of a patch in level-0 pixels; the right and lower borders are not part of it.

    Returns
    -------
    (patches,) bool.
    """
    from_corner = truth.tumour_cells[None, :, :2] - coords[:, None, :]
    inside = (from_corner >= 0) & (from_corner < patch_size_level0)
    return np.asarray(np.any(np.all(inside, axis=2), axis=1), dtype=np.bool_)


def write_truth(path: Path, truth: SmearTruth) -> None:
    """Write `truth` as JSON, coordinates to a tenth of a pixel."""
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "width": truth.width,
        "height": truth.height,
        "mpp": truth.mpp,
        "tumour_cells": np.round(truth.tumour_cells, 1).tolist(),
        "out_of_focus": [vars(area) for area in truth.out_of_focus],
        "over_thick": [vars(area) for area in truth.over_thick],
        "edge": np.round(truth.edge, 1).tolist(),
    }
    write_json(path, content)


def read_truth(path: Path) -> SmearTruth:
    """Read `truth/<slide_id>.json` of a simulated study.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or not a truth file of the version known here.
    """
    content: Any = read_json(path)
    if not isinstance(content, dict) or (content.get("format"), content.get("version")) != (
        _FORMAT,
        _VERSION,
    ):
        raise FileFormatError(
            f'"{path}" is not a {_FORMAT} file of version {_VERSION}; simulate the study again'
        )
    try:
        return SmearTruth(
            width=int(content["width"]),
            height=int(content["height"]),
            mpp=float(content["mpp"]),
            tumour_cells=np.array(content["tumour_cells"], dtype=np.float64).reshape(-1, 3),
            out_of_focus=tuple(Ellipse(**area) for area in content["out_of_focus"]),
            over_thick=tuple(Ellipse(**area) for area in content["over_thick"]),
            edge=np.array(content["edge"], dtype=np.float64).reshape(-1, 2),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f'"{path}" is damaged ({error!r}); delete it and simulate the study again'
        ) from error
