"""What attention looks at, with patients as the unit."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmil.explanations.enrichment import enrichment, patient_effect, suspicions
from cmil.explanations.patch_measures import EDGE, patch_measures
from cmil.explanations.patch_tables import measures_of, read_patch_table
from cohorts.errors import DataError
from feature_extraction.bags import Bag


def test_effect_of_a_patient_by_hand() -> None:
    values = np.arange(20.0)  # the highest tenth are the last two
    measure = np.array([0.0] * 9 + [2.0] * 9 + [2.0, 4.0])
    effect = patient_effect(values, measure)
    assert effect is not None
    assert (effect["patches"], effect["top"], effect["rest"]) == (20, 3, 1)
    assert effect["difference"] == pytest.approx(2 / measure.std())
    # Of 2 x 18 pairs: 4 above all 18; 2 above 9 and level with 9.
    assert effect["auc"] == pytest.approx((18 + 9 + 4.5) / 36)


def test_measure_that_says_nothing_has_no_effect() -> None:
    values = np.arange(40.0)
    assert patient_effect(values, np.ones(40)) is None
    assert patient_effect(values, np.full(40, np.nan)) is None
    known_below = np.where(values < 35, values, np.nan)
    assert patient_effect(values, known_below) is None
    assert patient_effect(values[:9], values[:9]) is None


def effects_of(differences: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        {"measure": measure, "top": 1.0, "rest": 0.5, "difference": value, "auc": 0.6}
        for measure, values in differences.items()
        for value in values
    ]
    return pd.DataFrame(rows)


def test_patients_are_the_unit_and_p_values_are_adjusted_together() -> None:
    """R 4: t.test(c(1, 2, 3))$p.value is 0.0741799, with 95% interval -0.4841377 to 4.4841377."""
    table = enrichment(effects_of({"ink": [0.1, -0.1, 0.3], "sharpness": [1, 2, 3]}))
    assert table["measure"].tolist() == ["sharpness", "ink"]
    first = table.iloc[0]
    assert (first["patients"], first["difference"]) == (3, 2)
    assert (first["ci_low"], first["ci_high"]) == pytest.approx((-0.4841377, 4.4841377))
    assert first["p"] == pytest.approx(0.0741799, abs=1e-7)
    assert first["p_adjusted"] == pytest.approx(2 * 0.0741799, abs=1e-6)


def test_nothing_to_test_is_an_empty_table() -> None:
    nothing = pd.DataFrame(columns=["measure", "top", "rest", "difference", "auc"])
    assert enrichment(nothing).empty
    assert suspicions(enrichment(nothing)) == []
    single = enrichment(effects_of({"ink": [2.0]}))
    assert math.isnan(single["p_adjusted"][0])
    assert suspicions(single) == []


def spread(mean: float) -> list[float]:
    return [mean - 0.1, mean, mean + 0.1, mean]


@pytest.mark.parametrize(
    ("measure", "mean", "words"),
    [
        ("sharpness", -0.8, "follows blur"),
        ("sharpness", 0.8, None),
        ("sharpness", -0.2, None),
        ("saturation", 0.8, "are more strongly stained"),
        ("saturation", -0.8, "are less strongly stained"),
        ("ink", 0.8, "follows ink"),
        ("ink", -0.8, None),
        (EDGE, -0.8, "the edge of the slide"),
        (EDGE, 0.8, None),
        ("cells: blasts", 3.0, None),
    ],
)
def test_warning_where_a_map_follows_what_it_should_not(
    measure: str, mean: float, words: str | None
) -> None:
    said = suspicions(enrichment(effects_of({measure: spread(mean)})))
    assert [words in line for line in said] == ([True] if words else [])


def test_warning_needs_more_than_a_large_effect() -> None:
    assert suspicions(enrichment(effects_of({"ink": [9.0, -6.0, 1.0]}))) == []


def bag_at(coords: list[list[int]], **more: object) -> Bag:
    return Bag(np.zeros((len(coords), 2), np.float32), np.array(coords), **more)


def test_distance_to_the_edge_is_in_patches_from_the_nearest_side() -> None:
    grid = {"patch_size_level0": 100, "level0_width": 1000, "level0_height": 600}
    coords = [[0, 300], [50, 300], [400, 250], [850, 200], [400, 500]]
    found = patch_measures([], "S", bag_at(coords, grid=grid))[EDGE]
    assert found.tolist() == [0, 0.5, 2.5, 0.5, 0]
    several = bag_at(coords, grid=grid, image_index=np.zeros(5, np.int32), images=("a",))
    assert EDGE not in patch_measures([], "S", several)
    assert EDGE not in patch_measures([], "S", bag_at(coords))


@pytest.fixture
def table(tmp_path: Path):
    def read(text: str, name: str = "cells.csv"):
        (tmp_path / name).write_text(text)
        return read_patch_table(tmp_path / name)

    return read


def test_table_is_looked_up_by_place_and_words_become_classes(table) -> None:
    read = table(
        "slide_id,image,x,y,nuclei,kind\nS,b,10,0,4,blast\nS,a,10,0,3,other\nT,a,0,0,9,\n007,,0,0,1,"
    )
    bag = bag_at(
        [[0, 0], [10, 0], [10, 0]],
        image_index=np.array([0, 0, 1], np.int32),
        images=("a", "b"),
    )
    found = measures_of([read], "S", bag)
    assert list(found) == ["cells: nuclei", "cells: kind = blast", "cells: kind = other"]
    np.testing.assert_array_equal(found["cells: nuclei"], [np.nan, 3, 4])
    np.testing.assert_array_equal(found["cells: kind = blast"], [np.nan, 0, 1])
    of_slide = measures_of([read], "007", bag_at([[0, 0]]))
    assert of_slide["cells: nuclei"].tolist() == [1]
    assert np.isnan(of_slide["cells: kind = blast"]).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slide_id,x\nS,1\n", 'no column "y"'),
        ("slide_id,x,y,a\nS,1,2,3\nS,1.5,2,3\n", "row 3: x is not a whole number"),
        ("slide_id,x,y,a\nS,1,two,3\n", "row 2: y is not a whole number"),
        ("slide_id,x,y,a\nS,1,2,3\nS,1,2,4\n", "row 3: its patch occurs before"),
        ("slide_id,x,y\nS,1,2\n", "holds no measure"),
        (
            "slide_id,x,y,a\n" + "".join(f"S,{i},0,w{i}\n" for i in range(51)),
            "holds 51 different words",
        ),
    ],
)
def test_table_that_does_not_serve_is_refused(table, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        table(text)


def test_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'no\.csv" does not exist'):
        read_patch_table(tmp_path / "no.csv")
