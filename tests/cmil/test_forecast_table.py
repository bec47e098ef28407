"""`cmil extract --dry-run`, and the text it prints."""

import json
from pathlib import Path

import pandas as pd
import pytest

from cmil.forecast_table import duration, forecast_text
from feature_extraction.forecast import Forecast
from feature_extraction.rates import Rates

pytestmark = pytest.mark.usefixtures("hurried")


def test_a_dry_run_says_what_extraction_then_does(small_study, tmp_path: Path, cmil_here) -> None:
    out = tmp_path / "out"
    dry = cmil_here("extract", small_study.settings, "--out", out, "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    assert not out.exists()
    expected = json.loads(dry.stdout)
    total = expected["centres"][-1]
    assert (total["centre"], total["slides"], total["to_make"]) == ("all", 24, 24)
    assert expected["patches_per_second"]["both"] > 0
    done = cmil_here("extract", small_study.settings, "--out", out)
    assert f"{total['patches']} patches kept, 0 dropped" in done.stderr
    again = cmil_here("extract", small_study.settings, "--out", out, "--dry-run")
    assert again.returncode == 0, again.stderr
    assert "No patch is to be embedded." in again.stdout


def test_a_dry_run_finds_broken_slides_first(small_study, tmp_path: Path, cmil_here) -> None:
    broken = small_study.images_of("B01")[0]
    broken.write_bytes(broken.read_bytes()[:200])
    dry = cmil_here("extract", small_study.settings, "--out", tmp_path / "out", "--dry-run")
    assert dry.returncode == 1
    assert "1 slides will fail:" in dry.stderr
    assert 'error: slide "B01-1" (manifest row 15): image "field 0.png"' in dry.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--dry-run", "--preview"], ["--json"]])
def test_options_that_contradict_are_refused(
    small_study, tmp_path: Path, cmil_here, options
) -> None:
    done = cmil_here("extract", small_study.settings, "--out", tmp_path / "out", *options)
    assert done.returncode == 1
    assert done.stderr.startswith("error: --")
    assert not (tmp_path / "out").exists()


def a_forecast(patches: int, *, free_bytes: int = 10**12, estimated: bool = False) -> Forecast:
    row = {"slide_id": "S", "patient_id": "P", "centre": "N", "state": "make", "patches": patches}
    row |= {"estimated": estimated, "image_bytes": 3 * 10**9, "reason": ""}
    return Forecast(pd.DataFrame([row]), Rates(10.0, 1e9, True, 8), 1000, free_bytes)


def test_long_work_is_worth_sharing_out() -> None:
    long, short = a_forecast(36_000 * 16), a_forecast(36_000)
    assert "on 8 such machines: about 2.0 h" in forecast_text(long)
    assert "such machines" not in forecast_text(long, shared_out=True)
    assert "such machines" not in forecast_text(short)
    assert "16.0 h" in forecast_text(long)
    assert "all 3.0 GB of these images" in forecast_text(long)


def test_a_disk_that_is_too_small_is_a_warning() -> None:
    # The features of a slide lie beside its bag until that is whole.
    assert "warning: 2.0 GB are needed" in forecast_text(a_forecast(10**6, free_bytes=10**9))
    assert "warning" not in forecast_text(a_forecast(10**6, free_bytes=2 * 10**9))


def test_an_estimate_says_so() -> None:
    assert "the patches of 1 slides" in forecast_text(a_forecast(10, estimated=True))
    assert "sample" not in forecast_text(a_forecast(10))


def test_durations_are_said_as_one_would() -> None:
    assert [duration(h) for h in (0, 1 / 3600, 0.5, 1, 1.6)] == [
        "0 s",
        "1 s",
        "30 min",
        "60 min",
        "1.6 h",
    ]
