"""The demo study: simulated patients of three centres, with slides, covariates and survival.

Everything here is invented to try the software on: slides are drawn, and patients, outcome and
effects are drawn from the models written down below. Nothing measured on it says anything about
neuroblastoma.
"""

import csv
import io
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cohorts.errors import SettingsError, StudyError
from cohorts.files import read_json, write_json, write_text
from cohorts.pyramid_tiff import write_pyramid
from cohorts.smear_drawing import DRAWING_VERSION, draw_smear
from cohorts.smear_scanner import Laboratory
from cohorts.smear_truth import SmearTruth, read_truth, tumour_patches, write_truth

__all__ = ["SimulatedStudy", "SmearTruth", "read_truth", "simulate_study", "tumour_patches"]

SLIDE_SIZE = (3072, 2304)
MINIMUM_PATIENTS = 24
MINIMUM_SIDE = 512

_PREVALENCE = 0.45
_LOAD = (40, 600)  # fewest and most tumour cells over the slides of a patient
_FOCAL_BELOW = 80  # a load under this lies on one slide only
_COLUMNS = (
    "patient_id", "slide_id", "path", "centre", "split", "metastasis",
    "age_months", "mycn_amplified", "os_months", "os_event",
)  # fmt: skip


@dataclass(frozen=True)
class SimulatedStudy:
    """Where a simulated study lies: its manifest, its folder of truth files, its own folder."""

    manifest: Path
    truth: Path
    out: Path


@dataclass(frozen=True)
class _Centre:
    name: str
    split: str
    share: float
    laboratory: Laboratory


@dataclass(frozen=True)
class _Patient:
    patient_id: str
    centre: _Centre
    clumps: tuple[tuple[int, ...], ...]  # of each slide: cells of each clump
    age_months: float
    mycn_amplified: bool
    os_months: float
    os_event: bool

    @property
    def metastasis(self) -> bool:
        return any(self.clumps)


@dataclass(frozen=True)
class _SlideJob:
    slide_id: str
    out: Path
    laboratory: Laboratory
    size: tuple[int, int]
    clumps: tuple[int, ...]
    seed: np.random.SeedSequence

    @property
    def image(self) -> Path:
        return self.out / "slides" / f"{self.slide_id}.tif"

    @property
    def truth(self) -> Path:
        return self.out / "truth" / f"{self.slide_id}.json"


_CENTRES = (
    _Centre("Alder", "development", 40 / 72, Laboratory(
        mpp=0.25, white=(252, 236, 222),
        stain=((0.58, 1.0, 0.2), (0.32, 0.88, 0.74), (1.0, 0.8, 0.12)),
        blur=0.7, sharpening=0.35, noise=2.0, jpeg_quality=88,
    )),
    _Centre("Birch", "external", 16 / 72, Laboratory(
        mpp=0.2425, white=(240, 234, 243),
        stain=((0.7, 0.98, 0.2), (0.34, 0.76, 0.54), (1.0, 0.7, 0.1)),
        blur=0.9, sharpening=0.15, noise=3.0, jpeg_quality=85,
    )),
    _Centre("Cedar", "external", 16 / 72, Laboratory(
        mpp=0.27, white=(248, 238, 230),
        stain=((0.5, 1.06, 0.28), (0.24, 1.05, 0.76), (0.92, 0.82, 0.16)),
        blur=0.8, sharpening=0.5, noise=1.5, jpeg_quality=82,
    )),
)  # fmt: skip


def simulate_study(
    out: Path,
    *,
    patients: int = 90,
    seed: int = 0,
    workers: int = 2,
    slide_size: tuple[int, int] = SLIDE_SIZE,
    progress: Callable[[int, int], None] | None = None,
) -> SimulatedStudy:
    """Draw the demo study into `out`; a study begun before with the same settings is finished.

    Five in nine patients belong to the development centre, the others to two external centres;
    45% have a metastasis. Slides that are already there are kept. The result depends on
    `patients`, `seed` and `slide_size`, never on `workers`.

    Parameters
    ----------
    out
        Receives `cohort.csv` (last), `slides/<slide_id>.tif`, `truth/<slide_id>.json` and
        `simulation.json`, the settings.
    patients
        At least 24.
    seed
        Of all random numbers; not negative.
    workers
        Processes that draw.
    slide_size
        Width and height of the slides in pixels, each at least 512.
    progress
        Called with the number of slides that are there and of all slides.

    Raises
    ------
    SettingsError
        If a setting is out of range.
    StudyError
        If `out` holds another study.
    """
    _check_settings(patients, seed, workers, slide_size)
    recipe = {
        "drawing_version": DRAWING_VERSION,
        "patients": patients,
        "seed": seed,
        "slide_size": list(slide_size),
    }
    _claim_folder(out, recipe)
    root, *slide_seeds = np.random.SeedSequence(seed).spawn(1 + 2 * patients)
    drawn = list(_draw_patients(np.random.default_rng(root), patients))
    jobs = [
        _SlideJob(
            f"{patient.patient_id}-{number + 1}",
            out,
            patient.centre.laboratory,
            slide_size,
            clumps,
            slide_seeds[2 * index + number],
        )
        for index, patient in enumerate(drawn)
        for number, clumps in enumerate(patient.clumps)
    ]
    _draw_slides(jobs, workers, progress or (lambda _done, _all: None))
    manifest = out / "cohort.csv"
    _write_manifest(manifest, drawn)
    return SimulatedStudy(manifest=manifest, truth=out / "truth", out=out)


def _check_settings(patients: int, seed: int, workers: int, slide_size: tuple[int, int]) -> None:
    if patients < MINIMUM_PATIENTS:
        raise SettingsError(
            f"{patients} patients are too few to simulate three centres; "
            f"ask for {MINIMUM_PATIENTS} or more"
        )
    if seed < 0:
        raise SettingsError(f"the seed {seed} is negative; choose 0 or more")
    if workers < 1:
        raise SettingsError(f"{workers} workers cannot draw; choose 1 or more")
    if min(slide_size) < MINIMUM_SIDE:
        raise SettingsError(
            f"slides of {slide_size[0]} x {slide_size[1]} pixels are too small for a smear; "
            f"give each side {MINIMUM_SIDE} or more"
        )


def _claim_folder(out: Path, recipe: dict[str, object]) -> None:
    """Make sure that `out` is new or holds this very study, and say so in `simulation.json`."""
    settings = out / "simulation.json"
    if settings.exists():
        if read_json(settings) != recipe:
            raise StudyError(
                f'"{out}" holds a study simulated with other settings (see simulation.json there); '
                "choose another folder, or delete this one"
            )
    elif (out / "cohort.csv").exists():
        raise StudyError(
            f'"{out}" holds a cohort that was not simulated here; choose another folder'
        )
    else:
        write_json(settings, recipe)


def _draw_patients(rng: np.random.Generator, patients: int) -> Iterator[_Patient]:
    sizes = [round(patients * centre.share) for centre in _CENTRES[:-1]]
    sizes.append(patients - sum(sizes))
    for centre, size in zip(_CENTRES, sizes, strict=True):
        positive = round(_PREVALENCE * size)
        # Loads spread evenly over the range on a log scale, so that every centre has all kinds.
        rank = (np.arange(positive) + rng.uniform(0, 1, positive)) / max(positive, 1)
        positive_loads = np.rint(_LOAD[0] * (_LOAD[1] / _LOAD[0]) ** rank).astype(int)
        loads = np.concatenate([positive_loads, np.zeros(size - positive, dtype=int)])
        for number, load in enumerate(rng.permutation(loads)):
            yield _draw_patient(rng, f"{centre.name[0]}{number + 1:03d}", centre, int(load))


def _draw_patient(
    rng: np.random.Generator, patient_id: str, centre: _Centre, load: int
) -> _Patient:
    metastatic = load > 0
    age = max(rng.gamma(2.2, 17.0 if metastatic else 11.0), 0.5)
    mycn = bool(rng.random() < (0.32 if metastatic else 0.15))
    months, event = _draw_survival(rng, load, mycn=mycn, older=age >= 18)
    slides = int(rng.integers(1, 3))
    share = 1.0 if slides == 1 or load < _FOCAL_BELOW else rng.uniform(0.3, 0.7)
    on_first = round(load * share)
    per_slide = [_draw_clumps(rng, cells) for cells in (on_first, load - on_first)[:slides]]
    return _Patient(
        patient_id=patient_id,
        centre=centre,
        clumps=tuple(per_slide[index] for index in rng.permutation(slides)),
        age_months=round(age, 1),
        mycn_amplified=mycn,
        os_months=months,
        os_event=event,
    )


def _draw_clumps(rng: np.random.Generator, cells: int) -> tuple[int, ...]:
    """Share out the tumour cells of a slide: mostly clumps, the first of six cells or more."""
    clumps: list[int] = []
    while cells > 0:
        alone = bool(clumps) and rng.random() < 0.3
        size = 1 if alone else int(np.clip(rng.lognormal(2.3, 0.55), 4 if clumps else 6, 30))
        clumps.append(min(size, cells))
        cells -= clumps[-1]
    return tuple(clumps)


def _draw_survival(
    rng: np.random.Generator, load: int, *, mycn: bool, older: bool
) -> tuple[float, bool]:
    """Draw overall survival in months, and whether it ended in death or was censored.

    Proportional hazards with a Weibull baseline (shape 1.2, scale 260 months) and the log hazard
    ratio `0.8 log10(1 + load) + 0.5 mycn + 0.3 older`, where `load` is the number of tumour cells
    on the patient's slides and `older` means 18 months or more at diagnosis. Follow-up ends
    after 84 months or, for those lost earlier, uniformly between 24 and 120 months. The signs and
    the order of the effects imitate what is known of neuroblastoma; the figures are invented, and
    chosen so that not quite half of the patients die and 40 external ones show the difference.
    """
    log_hazard_ratio = 0.8 * np.log10(1 + load) + 0.5 * mycn + 0.3 * older
    death = 260 * (rng.exponential() / np.exp(log_hazard_ratio)) ** (1 / 1.2)
    censoring = min(84.0, rng.uniform(24, 120))
    return max(round(min(death, censoring), 1), 0.1), bool(death <= censoring)


def _draw_slides(jobs: list[_SlideJob], workers: int, progress: Callable[[int, int], None]) -> None:
    missing = [job for job in jobs if not (job.image.exists() and job.truth.exists())]
    done = len(jobs) - len(missing)
    progress(done, len(jobs))
    if not missing:
        return
    # Spawned, not forked: a forked copy of a process that has run OpenCV's threads can hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(missing)), mp_context=context)
    try:
        for future in as_completed([pool.submit(_draw_slide, job) for job in missing]):
            future.result()
            done += 1
            progress(done, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)


def _draw_slide(job: _SlideJob) -> None:
    """Draw one slide; the image last, so that where it is, the truth is too."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(job.seed)
    smear = draw_smear(rng, job.laboratory, size=job.size, clumps=job.clumps)
    write_truth(job.truth, smear.truth)
    quality = job.laboratory.jpeg_quality
    write_pyramid(job.image, smear.image, mpp=job.laboratory.mpp, quality=quality)


def _write_manifest(path: Path, patients: list[_Patient]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for patient in patients:
        for number in range(1, len(patient.clumps) + 1):
            slide_id = f"{patient.patient_id}-{number}"
            writer.writerow([
                patient.patient_id, slide_id, f"slides/{slide_id}.tif",
                patient.centre.name, patient.centre.split, int(patient.metastasis),
                patient.age_months, int(patient.mycn_amplified),
                patient.os_months, int(patient.os_event),
            ])  # fmt: skip
    write_text(path, text.getvalue())
