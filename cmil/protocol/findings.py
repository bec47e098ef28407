"""What an audit found: how grave it is, and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["blocking", "warning", "note"]
LEVELS: tuple[Level, ...] = ("blocking", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing an audit has to say.

    Attributes
    ----------
    level
        "blocking": no result is to be trusted before it is mended. "warning": a reader must know.
        "note": for the record.
    audit
        Which audit found it.
    says
        What, and why it matters.
    """

    level: Level
    audit: str
    says: str


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    """Order findings by level; those of one level stay in order."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def named(ids: Iterable[object], most: int = 5) -> str:
    """List ids for a line, the first few of many."""
    names = [f'"{name}"' for name in ids]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
