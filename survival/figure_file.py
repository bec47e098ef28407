"""Figures as files whose text remains text."""

from pathlib import Path
from typing import TYPE_CHECKING

from cohorts.errors import SettingsError
from cohorts.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUFFIXES = (".svg", ".pdf", ".png")


def write_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as SVG, PDF or PNG, by its suffix; the same figure gives the same bytes.

    Text stays text in SVG and TrueType in PDF, so that a journal or an author can edit it.

    Raises
    ------
    SettingsError
        For another suffix.
    """
    from matplotlib import rc_context

    if path.suffix not in _SUFFIXES:
        raise SettingsError(f"{path}: a figure is written as {', '.join(_SUFFIXES)}")
    kind = path.suffix.removeprefix(".")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    editable = rc_context({"svg.fonttype": "none", "svg.hashsalt": path.name, "pdf.fonttype": 42})
    with editable, whole_file(path) as unfinished:
        figure.savefig(unfinished, format=kind, metadata=undated, dpi=200)
