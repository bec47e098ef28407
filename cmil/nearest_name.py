"""What a misspelt name was probably meant to be."""

import difflib
from collections.abc import Iterable


def nearest_name(given: str, known: Iterable[str], cutoff: float = 0.4) -> str | None:
    """Find the known name that is most like the one given, or none that is enough so."""
    close = difflib.get_close_matches(given, list(known), n=1, cutoff=cutoff)
    return close[0] if close else None
