"""DICOM slides that OpenSlide refuses, through wsidicom. Only volume images are ever opened."""

import math
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from feature_extraction.sources.canvas import Rgb, UnopenableError, square_mpp
from feature_extraction.sources.pyramid_canvas import PyramidCanvas
from feature_extraction.units import Mpp

with warnings.catch_warnings():
    # What wsidicom loads still asks pydicom for a name that pydicom is about to drop.
    warnings.simplefilter("ignore", DeprecationWarning)
    from wsidicom import WsiDicom
    from wsidicom import errors as wsidicom_errors
    from wsidicom.geometry import Point, Region, Size

_READER = "wsidicom"
_HEADER = ["SeriesInstanceUID", "ImageType"]
# What pydicom, wsidicom and their decoders raise on content that is damaged or not supported.
_ERRORS = (
    wsidicom_errors.WsiDicomError,
    wsidicom_errors.WsiDicomFileError,
    wsidicom_errors.WsiDicomMatchError,
    wsidicom_errors.WsiDicomNotFoundError,
    wsidicom_errors.WsiDicomNotSupportedError,
    wsidicom_errors.WsiDicomNoResolutionError,
    wsidicom_errors.WsiDicomStrictRequirementError,
    wsidicom_errors.WsiDicomUidDuplicateError,
    InvalidDicomError,
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class WsiDicomCanvas(PyramidCanvas):
    """An open DICOM slide."""

    _decoding_errors = _ERRORS

    def __init__(self, path: Path) -> None:
        if not _image_type(path):
            reason = "states no ImageType, so what it shows is not known; export it anew"
            raise UnopenableError(path.name, f"{_READER}: {reason}")
        volumes = [file for file in series_of(path) if "VOLUME" in _image_type(file)]
        if not volumes:
            raise UnopenableError(path.name, f"{_READER}: its series has no image of type VOLUME")
        try:
            light = pydicom.dcmread(volumes[0], stop_before_pixels=True).OpticalPathSequence[0]
            profile = light.get("ICCProfile")
            self._profile = None if profile is None else bytes(profile)
            self._power = _objective_power(light)
            self._slide = WsiDicom.open(volumes)
            self._levels = list(self._slide.pyramid)
            sizes = [(level.size.width, level.size.height) for level in self._levels]
            self._stated = (self._slide.mpp.width, self._slide.mpp.height)
        except _ERRORS as error:
            raise UnopenableError(path.name, f"{_READER}: {error}") from error
        super().__init__(path.name, sizes)

    @property
    def mpp(self) -> Mpp | None:
        """The mean of the horizontal and vertical pixel spacing."""
        return square_mpp(self._name, *self._stated)

    @property
    def magnification(self) -> float | None:
        """Objective power of the optical path."""
        return self._power

    @property
    def reader(self) -> str:
        """The library."""
        return _READER

    @property
    def colour_profile(self) -> bytes | None:
        """The ICC profile of the optical path."""
        return self._profile

    def close(self) -> None:
        """Close the files."""
        self._slide.close()

    def _read(
        self, level: int, x: float, y: float, width: int, height: int, _into: Rgb | None = None
    ) -> Rgb:
        # Levels are rounded to whole pixels: the last patch may end a pixel beyond them.
        whole_width, whole_height = self._sizes[level]
        width, height = min(width, whole_width), min(height, whole_height)
        left, top = min(round(x), whole_width - width), min(round(y), whole_height - height)
        region = Region(position=Point(left, top), size=Size(width, height))
        return np.asarray(self._levels[level].get_region(region).convert("RGB"))


def series_of(path: Path) -> Sequence[Path]:
    """List the DICOM files in a file's folder that belong to its series, itself included."""
    series = _series_uid(path)
    if not series:
        return (path,)
    beside = sorted(path.parent.glob("*.[dD][cC][mM]"))
    return [file for file in beside if file == path or _series_uid(file) == series]


def _series_uid(path: Path) -> str:
    try:
        now = path.stat()
        return _series_uid_of(path, now.st_mtime_ns, now.st_size)
    except _ERRORS:  # not remembered: it may be the network share
        return ""


# Every slide of a folder asks it of all files there, which are as many as the slides and more.
@lru_cache(maxsize=1 << 16)
def _series_uid_of(path: Path, _changed_ns: int, _size: int) -> str:
    return _as_it_stands(_read_header(path), "SeriesInstanceUID")


def _objective_power(light: pydicom.Dataset) -> float | None:
    """Give what is only a hint: None where it is no power of one objective."""
    try:
        power = float(_as_it_stands(light, "ObjectiveLensPower"))
    except ValueError:
        return None
    return power if 0 < power < math.inf else None


def _as_it_stands(data: pydicom.Dataset, keyword: str) -> str:
    """Give the text of an element, "" if it has none: pydicom warns of values ill formed."""
    stated = data.get_item(keyword)
    value = b"" if stated is None else stated.value or b""
    text = value.decode("ascii", errors="replace") if isinstance(value, bytes) else str(value)
    return text.strip("\0 ")


def _image_type(path: Path) -> Sequence[str]:
    stated = _header(path).get("ImageType") or ()
    return (stated,) if isinstance(stated, str) else tuple(stated)


def _header(path: Path) -> pydicom.Dataset:
    """Read what tells slides apart; empty for a file that is no DICOM or is gone."""
    try:
        return _read_header(path)
    except _ERRORS:
        return pydicom.Dataset()


def _read_header(path: Path) -> pydicom.Dataset:
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_HEADER))
    except InvalidDicomError:
        return pydicom.Dataset()
