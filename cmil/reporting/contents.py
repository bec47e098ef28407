"""What a report consists of, whatever it is written as."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True)
class Table:
    """A table: its numbers for a file, and the words in which they are shown.

    Attributes
    ----------
    name
        Of its file, without ending.
    caption
        What it says, how, and with which intervals.
    numbers
        All of them, unrounded.
    shown
        The same or a part of it as text, headings included.
    """

    name: str
    caption: str
    numbers: pd.DataFrame
    shown: pd.DataFrame


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes
    ----------
    name
        Of its files, without ending.
    caption
        What it shows, how, and with which intervals.
    description
        What is to be seen, for readers who do not see it.
    drawing
        The figure itself.
    """

    name: str
    caption: str
    description: str
    drawing: "Drawing"


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it: paragraphs, then tables and figures in their order."""

    title: str
    paragraphs: Sequence[str]
    parts: Sequence[Table | Figure] = ()

    @property
    def anchor(self) -> str:
        """The title as a page's address has it."""
        return "-".join(word.lower() for word in self.title.split() if word.isalnum())


@dataclass(frozen=True)
class Report:
    """A whole report.

    Attributes
    ----------
    title
        Of the study.
    headline
        Its result in a sentence or two.
    sections
        In the order of TRIPOD+AI.
    provenance
        Digests of model, lock and cohort, printed under each figure and table.
    """

    title: str
    headline: str
    sections: Sequence[Section]
    provenance: str

    @property
    def tables(self) -> Sequence[Table]:
        """Every table, in order."""
        parts = (part for section in self.sections for part in section.parts)
        return [part for part in parts if isinstance(part, Table)]

    @property
    def figures(self) -> Sequence[Figure]:
        """Every figure, in order."""
        parts = (part for section in self.sections for part in section.parts)
        return [part for part in parts if isinstance(part, Figure)]
