"""Figures are written whole, the same every time, and their text can be edited."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from cohorts.errors import SettingsError
from survival import write_figure


def picture() -> Figure:
    figure = Figure()
    figure.subplots().set_title("Number at risk")
    return figure


@pytest.mark.parametrize("name", ["a.svg", "a.pdf", "a.png"])
def test_same_figure_same_bytes(name: str, tmp_path: Path) -> None:
    written = []
    for _ in range(2):
        write_figure(picture(), tmp_path / name)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_text_stays_text(tmp_path: Path) -> None:
    write_figure(picture(), tmp_path / "a.svg")
    assert ">Number at risk</text>" in (tmp_path / "a.svg").read_text()
    write_figure(picture(), tmp_path / "a.pdf")
    assert b"/FontFile2" in (tmp_path / "a.pdf").read_bytes()


def test_other_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"a\.tiff: a figure is written as \.svg, \.pdf, \.png"):
        write_figure(picture(), tmp_path / "a.tiff")
