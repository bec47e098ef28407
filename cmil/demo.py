"""The demo: a simulated study, run like any other, and checked against its own truth."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from cmil.progress import Advance, progress
from cmil.results_table import results_table
from cmil.study import Study, run_study
from cmil.study_settings import read_study_settings
from cohorts.files import write_text
from cohorts.simulate import simulate_study

ENCODER_NOTE = (
    "The encoder of this demo is stain-filters, a fixed bank of absorbance filters without "
    "weights, so that nothing has to be downloaded. Images, patients and outcomes are simulated: "
    "no number on this page says anything about neuroblastoma. A real study names a pretrained "
    "encoder."
)

SETTINGS = """title = "Simulated study: metastasis from bone marrow smears"
seed = {seed}

[cohort]
manifest = "images/cohort.csv"
label = "metastasis"

[cohort.endpoints."overall survival"]
time = "os_months"
event = "os_event"
unit = "months"

[extraction]
encoder = "stain-filters"
mpp = 0.5
patch_px = 112

[mil]
dropout = 0.5
instances_per_bag = 64  # fresh samples keep patients from being learnt by heart
compare = ["mean"]  # whether attention is worth its while

[explanations]
annotations = "images/truth"

[validation]
sensitivity = 0.95
prevalences = [0.1, 0.3]
subgroups = ["mycn_amplified"]

[validation.referral]
miss_rate = 0.1
false_alarm_rate = 0.1

[survival]
covariates = ["age_months", "mycn_amplified"]
"""


def run_demo(out: Path, *, patients: int, seed: int) -> tuple[str, Sequence[str]]:
    """Draw, run and check a simulated study; give what to print, and the slides that failed.

    Raises
    ------
    StudyError
        If `out` holds another simulated study.
    """
    _draw(out / "images", patients, seed)
    text = SETTINGS.format(seed=seed)
    write_text(out / "study.toml", text)
    study = Study.at(out, read_study_settings(out / "study.toml"))
    failed = run_study(study, text, ENCODER_NOTE)
    printed = "\n".join(
        [
            results_table(out, list(study.settings.cohort.endpoints)),
            "",
            _truth_found(out / "explanations"),
            f"page: {out / 'index.html'}",
        ]
    )
    return printed, failed


def _draw(folder: Path, patients: int, seed: int) -> None:
    with ExitStack() as stack:
        advance: Advance | None = None
        drawn = 0

        def on_slide(done: int, total: int) -> None:
            nonlocal advance, drawn
            if advance is None:  # how many slides there are is known with the first call
                advance = stack.enter_context(progress("draw (slides)", total))
            advance(done - drawn)
            drawn = done

        simulate_study(folder, patients=patients, seed=seed, progress=on_slide)


def _truth_found(explanations: Path) -> str:
    worth = pd.read_csv(explanations / "faithfulness.csv")
    found = worth.loc[worth["map"] == "attention", "truth_auc"].dropna()
    return (
        "attention against the true tumour patches: mean AUC "
        f"{found.mean():.2f} in {len(found)} positive patients"
    )
