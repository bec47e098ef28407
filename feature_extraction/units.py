"""Units with a type of their own: who is handed microns cannot take them for pixels."""

from typing import NewType

Mpp = NewType("Mpp", float)
"""Microns per pixel."""

Level0Px = NewType("Level0Px", int)
"""Pixels of the image at its full resolution."""

PatchPx = NewType("PatchPx", int)
"""Pixels of a patch as the encoder sees it."""
