"""The demo: a simulated study, run like any other, and checked against its own truth."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from cmil.attention import attention_path, read_attention
from cmil.discrimination import auc_delong
from cmil.progress import Advance, progress
from cmil.results_table import results_table
from cmil.study import Study, run_study
from cmil.study_settings import read_study_settings
from cohorts.files import write_text
from cohorts.manifest import Cohort
from cohorts.simulate import SimulatedStudy, read_truth, simulate_study, tumour_patches
from feature_extraction.bags import bag_path, read_bag

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

[explanations]
annotations = "images/truth"

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
    simulated = _draw(out / "images", patients, seed)
    text = SETTINGS.format(seed=seed)
    write_text(out / "study.toml", text)
    study = Study.at(out, read_study_settings(out / "study.toml"))
    failed = run_study(study, text, ENCODER_NOTE)
    found = attention_against_truth(study.cohort, out, simulated.truth)
    write_text(out / "attention_against_truth.csv", found.to_csv(index=False))
    printed = "\n".join(
        [
            results_table(out, list(study.settings.cohort.endpoints)),
            "",
            "attention against the true tumour patches: mean AUC "
            f"{found['auc'].mean():.2f} in {len(found)} positive patients",
            f"page: {out / 'index.html'}",
        ]
    )
    return printed, failed


def _draw(folder: Path, patients: int, seed: int) -> SimulatedStudy:
    with ExitStack() as stack:
        advance: Advance | None = None
        drawn = 0

        def on_slide(done: int, total: int) -> None:
            nonlocal advance, drawn
            if advance is None:  # how many slides there are is known with the first call
                advance = stack.enter_context(progress("draw (slides)", total))
            advance(done - drawn)
            drawn = done

        return simulate_study(folder, patients=patients, seed=seed, progress=on_slide)


def attention_against_truth(cohort: Cohort, out: Path, truth: Path) -> pd.DataFrame:
    """How well attention finds the patches that hold a tumour cell.

    Returns
    -------
    DataFrame
        `patient_id, split, patches, tumour_patches, auc`, for every positive patient with at
        least one patch of either kind.
    """
    rows = []
    for patient_id, patient in cohort.patients[cohort.patients["label"] == 1].iterrows():
        attention, is_tumour = [], []
        for slide in cohort.slides_of(str(patient_id)):
            looked = read_attention(attention_path(out / "attention", slide.slide_id))
            bag = read_bag(bag_path(out / "bags", slide.slide_id))
            side = int(bag.grid["patch_size_level0"])
            drawn = read_truth(truth / f"{slide.slide_id}.json")
            attention.append(looked.relative)
            is_tumour.append(tumour_patches(drawn, bag.coords, side))
        hit = np.concatenate(is_tumour)
        if hit.any() and not hit.all():
            row = {"patient_id": patient_id, "split": patient["split"], "patches": len(hit)}
            auc = auc_delong(np.concatenate(attention), hit).value
            rows.append({**row, "tumour_patches": int(hit.sum()), "auc": auc})
    return pd.DataFrame(rows)
