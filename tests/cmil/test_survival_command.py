"""`cmil survival` of a predictions table, without a study."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from cmil.cli import app
from cmil.survival_command import read_survival_settings
from cohorts.errors import SettingsError, StudyError

ENDPOINT = "overall survival=months,died,months"


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A predictions table of another model, and a table of outcomes with more patients than it."""
    random = np.random.default_rng(5)
    n = 120
    centre = np.repeat(["Lund", "Bern", "Oslo"], n // 3)
    score = random.beta(1.3, 1.5, n)
    time = random.exponential(30 * np.exp(-2 * (score - 0.5))) + 0.1
    ids = [f"{i:03d}" for i in range(n)]
    split = np.where(centre == "Lund", "development", "external")
    kind = np.where(centre == "Lund", "oof", "external")
    pd.DataFrame(
        {"patient_id": ids, "centre": centre, "split": split, "score_kind": kind, "score": score}
    ).to_csv(tmp_path / "predictions.csv", index=False)
    months = np.minimum(time, 40.0)
    outcomes = {"months": months, "died": (time < 40).astype(int), "age": random.normal(4, 1, n)}
    table = pd.DataFrame({"patient_id": ids, **outcomes})
    more = table.iloc[:1].assign(patient_id="not scored")
    pd.concat([table, more]).to_csv(tmp_path / "endpoints.csv", index=False)
    (tmp_path / "survival.toml").write_text(
        '[survival]\ncovariates = ["age"]\nbootstrap_samples = 20\n'
    )
    return tmp_path


def survival(folder: Path, *options: object, out: str = "out") -> Result:
    return CliRunner().invoke(
        app,
        [
            *("survival", str(folder / "predictions.csv"), "--out", str(folder / out)),
            *("--endpoints", str(folder / "endpoints.csv")),
            *("--settings", str(folder / "survival.toml")),
            *map(str, options),
        ],
    )


def refused(result: Result) -> str:
    assert result.exit_code == 1
    assert isinstance(result.exception, StudyError)
    return str(result.exception)


def test_any_table_gives_tables_figures_and_methods(tables: Path) -> None:
    done = survival(tables, "--endpoint", ENDPOINT, "--json")
    assert done.exit_code == 0, done.exception
    printed = json.loads(done.stdout)
    assert printed["cutpoint"]["n"] == 40
    assert printed["cutpoint"]["model_digest"] == "not stated"
    folder = tables / "out" / "survival"
    cox = pd.read_csv(folder / "cox.csv")
    assert cox["stratum"].unique().tolist() == [
        *("development (out-of-fold)", "Bern", "Oslo", "external, pooled"),
    ]
    assert set(cox["adjusted_for"].dropna()) == {"age"}
    assert (folder / "methods.md").read_text().startswith("# Statistical methods")
    figures = {path.suffix for path in (folder / "figures").iterdir()}
    assert figures == {".svg", ".pdf"}


def test_exploratory_goes_nowhere_near_a_lock(tables: Path) -> None:
    table = pd.read_csv(tables / "predictions.csv", dtype=str)
    table[table["split"] == "external"].to_csv(tables / "predictions.csv", index=False)
    assert "no development patient" in refused(survival(tables, "--endpoint", ENDPOINT))
    done = survival(tables, "--endpoint", ENDPOINT, "--exploratory")
    assert done.exit_code == 0, done.exception
    assert done.stdout.startswith("exploratory")
    folder = tables / "out" / "survival"
    assert not (folder / "cutpoint.json").exists()
    (folder / "cutpoint.json").write_text("{}")
    again = survival(tables, "--endpoint", ENDPOINT, "--exploratory")
    assert "give --exploratory another --out" in refused(again)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("score_kind", "train", "a score from a training fold"),
        ("score", "high", "not a probability from 0 to 1"),
        ("split", "test", 'not "development" or "external"'),
    ],
)
def test_wrong_scores_are_refused(tables: Path, column: str, value: str, says: str) -> None:
    table = pd.read_csv(tables / "predictions.csv", dtype=str)
    table.loc[0, column] = value
    table.to_csv(tables / "predictions.csv", index=False)
    assert says in refused(survival(tables, "--endpoint", ENDPOINT))
    assert not (tables / "out").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "endpoints.csv has months, died, age"),
        (["--endpoint", "os"], '--endpoint "os": give NAME=TIME,EVENT'),
        (["--endpoint", "os=months,died,weeks"], "unit: Input should be 'days', 'months'"),
        (["--endpoint", "os=moths,died"], 'column "moths" is missing; did you mean "months"?'),
        (["--endpoint", ENDPOINT, "--predictions", "x.csv"], "PREDICTIONS.csv does not go with"),
    ],
)
def test_wrong_options_are_refused(tables: Path, options: list[str], says: str) -> None:
    assert says in refused(survival(tables, *options))


def test_study_takes_no_option_of_a_table(tables: Path) -> None:
    study = tables / "study.toml"
    study.write_text("")
    done = CliRunner().invoke(
        app, ["survival", str(study), "--out", str(tables), "--endpoint", ENDPOINT]
    )
    assert "STUDY.toml does not go with --endpoint" in refused(done)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[survival]\nhorizon = [1]\n", "survival.horizon: Extra inputs are not permitted"),
        ("[survival]\nhorizons = [5, 1]\n", "survival.horizons: give times above 0, ascending"),
        ("[survival]\ncutpoint = 'youden'\n", 'cut-point method "youden": endpoint is needed'),
        ("[cohort]\n", "has no table [survival]"),
        ("survival =\n", "is not valid TOML"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "survival.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_survival_settings(path)
    assert says in str(caught.value)


def test_command_needs_no_torch(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None in `sys.modules` makes an import fail."""
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    assert "no --endpoint" in refused(survival(tables))


def test_entry_stands_before_the_time(tables: Path) -> None:
    table = pd.read_csv(tables / "endpoints.csv", dtype={"patient_id": str})
    table["seen"] = table["months"] / 2
    table.to_csv(tables / "endpoints.csv", index=False)
    late = "overall survival=seen:months,died,months"
    done = survival(tables, "--endpoint", late, "--json")
    assert done.exit_code == 0, done.exception
    folder = tables / "out" / "survival"
    assert not (folder / "concordance.csv").exists()
    at_risk = pd.read_csv(folder / "numbers_at_risk.csv").query("stratum == 'Bern'")
    of_time = at_risk.groupby("time")["n_risk"].sum()
    members = table[table["patient_id"].isin(f"{i:03d}" for i in range(40, 80))]
    for time, count in of_time.items():
        present = (members["seen"] < time) & (members["months"] >= time)
        assert count == present.sum()
    table.loc[3, "seen"] = 50.0
    table.to_csv(tables / "endpoints.csv", index=False)
    says = refused(survival(tables, "--endpoint", late, out="other"))
    assert 'column "seen": not before "months"' in says and '"003"' in says
