"""INRG's risk groups, line by line, and what is said where a factor is missing."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from cohorts.errors import DataError, SettingsError
from survival.neuroblastoma_factors import NeuroblastomaColumns
from survival.risk_group import (
    INRG,
    SIMPLE,
    indicator_columns,
    neuroblastoma_risk_group,
    risk_group_covariates,
)

FULL = NeuroblastomaColumns(
    age="age",
    age_unit="months",
    stage="stage",
    mycn="mycn",
    histology="histology",
    differentiation="grade",
    aberration_11q="q11",
    ploidy="ploidy",
)
FEW = NeuroblastomaColumns(age="age", age_unit="months", stage="stage", mycn="mycn")
NB, POOR, GOOD = "neuroblastoma", "undifferentiated", "differentiating"
FACTORS = ["stage", "age", "histology", "grade", "mycn", "q11", "ploidy"]
# Cohn et al. 2009, J Clin Oncol 27:289, figure 2.
LINES = [
    ("L2", 30, "GNB intermixed", GOOD, 0, 1, "diploid", "A", "very low"),
    ("L1", 90, "GN maturing", POOR, 1, 1, "diploid", "A", "very low"),
    ("L1", 30, NB, POOR, 0, 1, "diploid", "B", "very low"),
    ("L1", 3, "GNB nodular", GOOD, 1, 0, "hyperdiploid", "K", "high"),
    ("L2", 17.9, NB, POOR, 0, 0, "diploid", "D", "low"),
    ("L2", 17.9, NB, GOOD, 0, 1, "diploid", "G", "intermediate"),
    ("L2", 18, NB, GOOD, 0, 0, "diploid", "E", "low"),
    ("L2", 18, NB, GOOD, 0, 1, "diploid", "H", "intermediate"),
    ("L2", 18, NB, POOR, 0, 0, "hyperdiploid", "H", "intermediate"),
    ("L2", 40, NB, POOR, 1, 0, "diploid", "N", "high"),
    ("M", 15, NB, POOR, 0, 1, "hyperdiploid", "F", "low"),
    ("M", 11.9, NB, POOR, 0, 1, "diploid", "I", "intermediate"),
    ("M", 12, NB, POOR, 0, 1, "diploid", "J", "intermediate"),
    ("M", 4, NB, POOR, 1, 0, "hyperdiploid", "O", "high"),
    ("M", 18, NB, GOOD, 0, 0, "hyperdiploid", "P", "high"),
    ("MS", 5, NB, POOR, 0, 0, "diploid", "C", "very low"),
    ("MS", 5, NB, POOR, 0, 1, "diploid", "Q", "high"),
    ("MS", 13, NB, POOR, 1, 0, "diploid", "R", "high"),
]


def table(lines: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame([line[:7] for line in lines], columns=FACTORS).rename("P{}".format)


def test_every_line_of_inrg() -> None:
    found = neuroblastoma_risk_group(table(LINES), FULL)
    assert found["code"].tolist() == [line[7] for line in LINES]
    assert found["group"].tolist() == [line[8] for line in LINES]
    assert (found["system"] == INRG).all()
    assert (found["reason"] == "").all()


def test_exactly_one_line_fits_every_patient() -> None:
    values = [
        ["L1", "L2", "M"],
        [3, 13, 40],
        [NB, "GNB intermixed"],
        [GOOD, POOR],
        [0, 1],
        [0, 1],
        ["diploid", "hyperdiploid"],
    ]
    everyone = table(list(product(*values)))
    found = neuroblastoma_risk_group(everyone, FULL)
    assert (found["group"] != "unknown").all()
    assert (found["code"].str.len() == 1).all()


def test_missing_value_matters_only_where_groups_differ_by_it() -> None:
    lines = [
        ("M", 60, None, None, np.nan, np.nan, None),  # high, whatever they are
        ("MS", 5, NB, POOR, 0, np.nan, "diploid"),
        ("M", 5, NB, POOR, 0, 0, None),
        ("L2", 5, None, POOR, 0, 0, None),
        (None, 5, NB, POOR, 1, 0, "diploid"),  # amplified is high at any stage
    ]
    found = neuroblastoma_risk_group(table(lines), FULL)
    assert found["group"].tolist() == ["high", "unknown", "unknown", "unknown", "high"]
    assert found["code"].tolist() == ["P", "", "", "", ""]
    assert found["reason"].tolist() == [
        "",
        "no aberration_11q: high, very low are possible",
        "no ploidy: intermediate, low are possible",
        "no histology: low, very low are possible",
        "",
    ]


def test_stage_ms_of_an_older_child_has_no_group() -> None:
    found = neuroblastoma_risk_group(table([("MS", 20, NB, POOR, 0, 0, "diploid")]), FULL)
    assert found["group"].tolist() == ["unknown"]
    assert "INRG does not define" in found["reason"].iloc[0]


def test_without_all_columns_the_grouping_is_simple_and_says_so() -> None:
    lines = [("M", 18, 0), ("M", 17, 0), ("L1", 80, 1), ("L2", 80, 0), ("M", None, 0)]
    patients = pd.DataFrame(lines, columns=["stage", "age", "mycn"])
    found = neuroblastoma_risk_group(patients, FEW)
    assert found["group"].tolist() == ["high", "other", "high", "other", "unknown"]
    assert (found["system"] == SIMPLE).all()
    assert found["reason"].iloc[4] == "no age: high, other are possible"


@pytest.mark.parametrize(
    ("unit", "ages"), [("days", [364, 365, 546, 547]), ("years", [0.99, 1, 1.49, 1.5])]
)
def test_age_is_read_in_its_unit(unit, ages) -> None:
    lines = [("M", age, NB, POOR, 0, 0, "diploid") for age in ages]
    found = neuroblastoma_risk_group(table(lines), FULL.model_copy(update={"age_unit": unit}))
    assert found["code"].tolist() == ["I", "J", "J", "P"]


def test_inss_and_dna_index_and_gaps_in_columns_are_read() -> None:
    lines = [
        (4.0, 5, NB, POOR, "amplified", 0, 1.3),
        (1.0, 5, NB, POOR, "non-amplified", 0, 1.0),
        ("4S", 5, NB, POOR, "no", 0.0, np.nan),
        ("2B", 5, NB, POOR, 0.0, "none", 0.9),
        (4.0, 5, NB, POOR, 0, 0, 1.26),
    ]
    found = neuroblastoma_risk_group(table(lines), FULL.model_copy(update={"staging": "INSS"}))
    assert found["code"].tolist() == ["O", "B", "C", "D", "F"]


def test_unknown_word_names_column_and_patient() -> None:
    lines = [("M", 5, NB, POOR, 0, 0, "diploid"), ("M", 5, NB, POOR, "gain", 0, "diploid")]
    with pytest.raises(DataError, match='column "mycn": "gain" of patient "P1" and 0 more are not'):
        neuroblastoma_risk_group(table(lines), FULL)
    with pytest.raises(SettingsError, match='no column "q11"'):
        neuroblastoma_risk_group(table(lines).drop(columns="q11"), FULL)
    with pytest.raises(DataError, match='column "age": "-1" of patient "P0"'):
        neuroblastoma_risk_group(table([("M", -1, NB, POOR, 0, 0, "diploid")]), FULL)


def test_indicators_compare_with_the_lowest_group_that_occurs() -> None:
    groups = pd.Series(
        ["low", "high", "unknown", "intermediate", None, "low"], index=list("abcdef")
    )
    columns = indicator_columns(groups, ("very low", "low", "intermediate", "high"))
    assert columns.columns.tolist() == ["intermediate versus low", "high versus low"]
    assert columns.loc[["a", "b", "d"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0]]
    assert columns.loc[["c", "e"]].isna().all(axis=None)
    with pytest.raises(DataError, match='"low" of patient "a" is none of good, poor'):
        indicator_columns(groups, ("good", "poor"))


def test_covariates_of_the_risk_group_follow_its_system() -> None:
    lines = [line for line in LINES if line[7] in "BFP"]
    inrg = risk_group_covariates(table(lines), FULL)
    assert inrg.columns.tolist() == ["low versus very low", "high versus very low"]
    assert inrg.to_numpy().tolist() == [[0, 0], [1, 0], [0, 1]]
    simple = risk_group_covariates(table(lines), FEW)
    assert simple.to_dict("list") == {"high versus other": [0, 0, 1]}
