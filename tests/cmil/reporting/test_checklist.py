"""Items are answered by facts, and what no fact answers is left to a human."""

import pytest
import yaml

from cmil.reporting.checklist import CHECKLISTS, checklist_table, checklist_yaml, filled


@pytest.mark.parametrize(("key", "items"), [("tripod_ai", 52), ("stard_ai", 48)])
def test_without_facts_every_item_is_left_to_write(key: str, items: int) -> None:
    checklist = filled(key, {})
    assert checklist.counts() == {"filled": 0, "partly": 0, "to write": items}
    assert all(item.to_write and not item.answer for item in checklist.items)
    assert len({item.item for item in checklist.items}) == items


# As published: items that have parts, and how many; BMJ 2024;385:e078378 and Nat Med 2025;31:3283.
_PARTS = {
    "tripod_ai": {
        3: 3,
        5: 2,
        6: 3,
        8: 3,
        9: 3,
        12: 7,
        18: 6,
        20: 3,
        23: 2,
        27: 3,
    },
    "stard_ai": {15: 4, 16: 3, 17: 2, 26: 2, 40: 2},
}


@pytest.mark.parametrize(("key", "last"), [("tripod_ai", 27), ("stard_ai", 40)])
def test_items_are_numbered_as_published(key: str, last: int) -> None:
    expected = [
        f"{number}{letter}"
        for number in range(1, last + 1)
        for letter in ("abcdefg"[: _PARTS[key][number]] if number in _PARTS[key] else [""])
    ]
    assert [item.item for item in filled(key, {}).items] == expected


def test_a_fact_fills_what_needs_no_human_and_part_of_what_does() -> None:
    items = {i.item: i for i in filled("tripod_ai", {"title": "A study.", "centres": "Two."}).items}
    assert (items["1"].state, items["1"].answer, items["1"].to_write) == ("filled", "A study.", "")
    assert items["6a"].state == "partly"
    assert items["6a"].answer == "Two."
    assert items["6a"].to_write == "setting and location of each centre"


def test_one_of_two_facts_leaves_the_other_to_write() -> None:
    items = {i.item: i for i in filled("tripod_ai", {"output": "A probability."}).items}
    assert (items["15"].state, items["15"].to_write) == ("partly", "threshold")


@pytest.mark.parametrize("key", CHECKLISTS)
def test_yaml_says_what_the_table_says(key: str) -> None:
    checklist = filled(key, {"title": 'Étude: "Málaga"\n& Co.'})
    read = yaml.safe_load(checklist_yaml(checklist))
    assert [item["answer"] for item in read["items"]] == [i.answer for i in checklist.items]
    assert len(checklist_table(checklist).shown) == len(checklist.items)
