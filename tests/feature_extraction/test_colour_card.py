"""The tables of `benchmarks/colour.py`, on predictions written by hand."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "colour.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("colour_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def predictions(scores: list[float]) -> pd.DataFrame:
    patients = ["A1", "A2", "A3", "A4", "B1", "B2"]
    table = pd.DataFrame({"patient_id": patients, "score": scores})
    table["centre"] = ["Alder"] * 4 + ["Birch"] * 2
    table["label"] = [0, 0, 1, 1, 0, 1]
    table["decision"] = (table["score"] >= 0.5).astype(int)
    return table


def test_the_card_by_hand(script: ModuleType) -> None:
    plain = predictions([0.1, 0.6, 0.5, 0.9, 0.7, 0.8])
    # Rows in another order are still compared patient by patient.
    other = predictions([0.1, 0.3, 0.6, 0.4, 0.2, 0.8]).iloc[::-1]
    card = script.card({"none": plain, "macenko": other})
    assert card["centre"].tolist() == ["Alder", "Birch"] * 2
    assert card["patients"].tolist() == [4, 2, 4, 2]
    assert card["auc"].tolist() == [0.75, 1.0, 1.0, 1.0]
    assert card["sensitivity"].tolist() == [1.0, 1.0, 0.5, 1.0]
    assert card["specificity"].tolist() == [0.5, 0.0, 1.0, 1.0]
    assert card["mean_negative"].tolist() == pytest.approx([0.35, 0.7, 0.2, 0.2])
    assert card["mean_positive"].tolist() == pytest.approx([0.7, 0.8, 0.5, 0.8])
    assert card["largest_change"].tolist() == pytest.approx([0.0, 0.0, 0.5, 0.5])


def test_markdown_has_a_header_and_a_row_for_each(script: ModuleType) -> None:
    text = script.markdown(pd.DataFrame({"stain": ["none"], "patients": [4], "auc": [0.75]}))
    assert text.splitlines() == [
        "| stain | patients | auc |",
        "| --- | --- | --- |",
        "| none | 4 | 0.750 |",
    ]
