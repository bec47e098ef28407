"""The tables of an endpoint with competing events hold what the single functions give."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from survival import hazard_ratio
from survival.competing_analysis import CompetingRisks, competing_risks
from survival.fine_gray import fine_gray

EXAMPLE = pd.read_csv(Path(__file__).parent / "data" / "cmprsk_example.csv")
EVENTS = ("metastasis", "death without metastasis")


@pytest.fixture(scope="module")
def outcome() -> pd.DataFrame:
    centre = EXAMPLE["stratum"].map({1: "Bern", 2: "Oslo"})
    return EXAMPLE.rename(columns={"event": "code"}).assign(centre=centre)


@pytest.fixture(scope="module")
def results(outcome: pd.DataFrame) -> CompetingRisks:
    return competing_risks(outcome, EVENTS, outcome[["x2"]], outcome[["x1"]], [0, 1, 2])


def test_every_event_is_described_and_tested(results: CompetingRisks) -> None:
    """cmprsk 2.2-9 tests/test.Rout.save: cuminc(ss, cc, gg, strt)."""
    assert results.gray["event"].tolist() == list(EVENTS)
    assert results.gray["stratified_by"].eq("centre").all()
    assert results.gray["chi2"].tolist() == pytest.approx([3.393977, 1.989511], abs=5e-7)
    a = results.incidence.query('event == "metastasis" and group == "a" and time <= 1')
    assert a["incidence"].iloc[-1] == pytest.approx(0.1311269, abs=5e-8)
    at_start = results.numbers_at_risk.query("time == 0").set_index("group")["n_risk"]
    assert at_start.to_dict() == EXAMPLE["group"].value_counts().to_dict()


def test_hazards_are_those_of_both_models(results: CompetingRisks, outcome: pd.DataFrame) -> None:
    assert len(results.hazards) == 2 * 2 * 2
    known = outcome.dropna()
    design = known[["x2", "x1"]].astype(float)
    cox = hazard_ratio(known["time"], (known["code"] == 2).astype(int), design, known["centre"])
    gray = fine_gray(known["time"], known["code"], design, 2, known["centre"])
    adjusted = results.hazards.query('event == @EVENTS[1] and adjusted_for == "x1"')
    assert adjusted["n"].eq(97).all()
    assert adjusted["hr"].tolist() == pytest.approx([cox.hr, gray.terms["shr"].iloc[0]])
    assert results.hazards.query('adjusted_for == ""')["n"].eq(100).all()


def test_each_group_is_warned_of(results: CompetingRisks) -> None:
    table = results.overestimates
    assert (table["one_minus_km"] >= table["incidence"]).all()
    assert table["note"].str.contains("would overestimate").any()


def test_one_centre_is_not_stratified(outcome: pd.DataFrame) -> None:
    bern = outcome[outcome["centre"] == "Bern"]
    results = competing_risks(bern, EVENTS, bern[["x2"]], bern[[]], [0, 1])
    assert results.hazards["stratified_by"].eq("").all()
    assert results.gray["stratified_by"].eq("").all()
    assert results.hazards["adjusted_for"].eq("").all()


def test_an_event_nobody_had_is_not_estimable(outcome: pd.DataFrame) -> None:
    results = competing_risks(outcome, (*EVENTS, "relapse"), outcome[["x2"]], outcome[[]], [0, 1])
    relapse = results.hazards[results.hazards["event"] == "relapse"]
    assert relapse["note"].str.startswith("not estimable").all()
    assert np.isnan(results.gray["chi2"].iloc[2])
    assert results.incidence.query('event == "relapse"')["incidence"].eq(0).all()
