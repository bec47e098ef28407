"""Items are answered by facts, and what no fact answers is left to a human."""

import pytest
import yaml

from cmil.reporting.checklist import CHECKLISTS, checklist_table, checklist_yaml, filled


@pytest.mark.parametrize(("key", "items"), [("tripod_ai", 52), ("stard_ai", 41)])
def test_without_facts_every_item_is_left_to_write(key: str, items: int) -> None:
    checklist = filled(key, {})
    assert checklist.counts() == {"filled": 0, "partly": 0, "to write": items}
    assert all(item.to_write and not item.answer for item in checklist.items)
    assert len({item.item for item in checklist.items}) == items


def test_tripod_ai_has_its_27_items() -> None:
    numbers = [item.item.rstrip("abcdefg") for item in filled("tripod_ai", {}).items]
    assert sorted({int(number) for number in numbers}) == list(range(1, 28))


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
