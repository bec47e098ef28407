"""Colours, lines and type of every figure.

Colours are Okabe & Ito's of 2008, without yellow: told apart with every common colour blindness;
blue and vermilion in grey print too.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"
INK, PALE, GRID = "#222222", "#8a8a8a", "#e6e6e6"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
"""Of groups, in their order."""

DASHED: Any = (0, (4, 3))
"""Of lines that are no data: chance, a threshold, a target."""

LINES: tuple[Any, ...] = ("-", (0, (6, 1.6)), (0, (2.2, 1.2)), (0, (7, 1.4, 1.6, 1.4)))
"""Of groups, for grey print, where the colours of three or more run together."""

PLAIN: Mapping[str, Any] = MappingProxyType({"parse_math": False})
"""Of names from the study's tables: a "$" in one is a character, not mathematics."""

STYLE: Mapping[Any, Any] = MappingProxyType(
    {
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "font.family": "sans-serif",
        "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"],
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.titleweight": "bold",
        "axes.labelsize": 8,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
)
"""Of a journal's column, 89 or 183 mm wide; text stays text in SVG and PDF."""
