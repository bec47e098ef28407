"""TRIPOD+AI and STARD-AI, filled from what a study's files say; the rest is named for a human."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import pandas as pd
import yaml

from cmil.reporting.contents import Table

State = Literal["filled", "partly", "to write"]
CHECKLISTS: Sequence[str] = ("tripod_ai", "stard_ai")
"""Names of the checklists there are."""


@dataclass(frozen=True)
class Item:
    """One item of a checklist, answered.

    Attributes
    ----------
    item, section
        Its number and part of the manuscript.
    asks
        What is to be reported.
    state
        Whether the files say all of it, some, or nothing.
    answer
        What they say.
    to_write
        What a human has to add.
    """

    item: str
    section: str
    asks: str
    state: State
    answer: str
    to_write: str


@dataclass(frozen=True)
class Checklist:
    """A checklist, its items in order."""

    key: str
    name: str
    source: str
    items: Sequence[Item]

    def counts(self) -> Mapping[State, int]:
        """How many items are in each state."""
        states: Sequence[State] = ("filled", "partly", "to write")
        return {state: sum(item.state == state for item in self.items) for state in states}


def filled(key: str, facts: Mapping[str, str]) -> Checklist:
    """Fill a checklist.

    Parameters
    ----------
    key
        One of `CHECKLISTS`.
    facts
        What is known of the study, a sentence or two by name; what is not known is absent.
    """
    content = yaml.safe_load(
        files("cmil.reporting").joinpath(f"checklists/{key}.yaml").read_text(encoding="utf-8")
    )
    items = [_answered(entry, facts) for entry in content["items"]]
    return Checklist(key, content["name"], " ".join(content["source"].split()), items)


def _answered(entry: Mapping[str, Any], facts: Mapping[str, str]) -> Item:
    asked = [str(name) for name in entry.get("facts", [])]
    known = [facts[name] for name in asked if name in facts]
    unknown = [name.replace("_", " ") for name in asked if name not in facts]
    to_write = [str(entry["human"])] if "human" in entry else []
    to_write += unknown
    state: State = "to write" if not known else "partly" if to_write else "filled"
    return Item(
        str(entry["item"]),
        str(entry["section"]),
        str(entry["asks"]),
        state,
        " ".join(known),
        "; ".join(to_write),
    )


def checklist_yaml(checklist: Checklist) -> str:
    """Write a filled checklist as YAML, for those who go on with it."""
    content = {
        "name": checklist.name,
        "source": checklist.source,
        "items": [vars(item) for item in checklist.items],
    }
    return str(yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=100))


def checklist_table(checklist: Checklist) -> Table:
    """Give a filled checklist as a table of the report."""
    numbers = pd.DataFrame([vars(item) for item in checklist.items])
    counts = ", ".join(f"{number} {state}" for state, number in checklist.counts().items())
    shown = numbers[["item", "section", "asks", "answer", "to_write"]].rename(
        columns={
            "item": "Item",
            "section": "Section",
            "asks": "Asks for",
            "answer": "From the study's files",
            "to_write": "To be written",
        }
    )
    return Table(
        f"checklist-{checklist.key.replace('_', '-')}",
        f"{checklist.name}: {counts}. Source: {checklist.source}.",
        numbers,
        shown,
    )
