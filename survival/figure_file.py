"""Figures as files whose text remains text."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

from cohorts.errors import SettingsError
from cohorts.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UNDATED: Mapping[str, Mapping[str, None]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {},
}


def write_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as SVG, PDF or PNG, by its suffix; the same figure gives the same bytes.

    Raises
    ------
    SettingsError
        For another suffix.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in _UNDATED:
        suffixes = ", ".join(f".{name}" for name in _UNDATED)
        raise SettingsError(f"{path}: a figure is written as {suffixes}")
    with whole_file(path) as unfinished:
        save_figure(figure, unfinished, kind, path.name)


def save_figure(
    figure: "Figure",
    file: Path | BinaryIO,
    kind: str,
    name: str,
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Save a figure as `kind` of file: "svg", "pdf" or "png".

    Text stays text in SVG and TrueType in PDF, so that a journal or an author can edit it.

    Parameters
    ----------
    name
        From which the identifiers within an SVG are derived.
    metadata
        Of the file; its date is left out.
    """
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "pdf.fonttype": 42}):
        figure.savefig(file, format=kind, metadata={**_UNDATED[kind], **metadata}, dpi=200)
