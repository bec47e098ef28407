"""What an extraction will take, and which slides will fail it, before hours are spent on it.

Nothing is written. Patches are counted on thumbnails, so only what is read in full later, the
pixels themselves, can still fail.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cohorts.errors import AccessError, DataError, FileFormatError
from cohorts.manifest import Cohort, Slide
from feature_extraction.bags import bag_path
from feature_extraction.candidates import read_candidates
from feature_extraction.colour import METHODS_WITH_REFERENCE, fit_reference
from feature_extraction.colour_sample import measure_slide
from feature_extraction.encoders import Encoder, load_encoder
from feature_extraction.extract import jobs_of
from feature_extraction.failures import FAILURES
from feature_extraction.identity import doubles, identify
from feature_extraction.patch_count import count_patches, spread_over
from feature_extraction.patch_reading import block_readers
from feature_extraction.patches import Reading
from feature_extraction.quality import MEASURES
from feature_extraction.rates import Rates, time_encoder, time_reading
from feature_extraction.reading_ahead import usable_cores
from feature_extraction.recipe import attributes_if_any, made_by, rule_text
from feature_extraction.refilter import refuse_if_none_is_kept, under_rule
from feature_extraction.selection import PatchRule, drop_reasons
from feature_extraction.slide_job import (
    Extraction,
    SlideJob,
    coordinates_of,
    images_before,
    recipe_of,
)
from feature_extraction.slide_record import read_record
from feature_extraction.sources import Source, open_source

_LOOKING = 4
_TIMED_SLIDES, _TIMED_BLOCKS = 4, 2
# Beside the features: two int64 coordinates, an int32 image index, a byte for the reason.
_BYTES_BESIDE = 2 * 8 + 4 + 1 + 4 * len(MEASURES)


Prospect = Literal["up to date", "filter", "make", "copy", "fail"]


@dataclass(frozen=True)
class SlideForecast:
    """What an extraction will do with one slide.

    Attributes
    ----------
    state
        "up to date": its bag is true; "filter": only the rule is applied to its bag; "make": its
        patches are read and embedded; "copy": all its images came before; "fail": it will fail.
    patches
        To be embedded.
    estimated
        Whether `patches` is from a sample of its images.
    image_bytes
        Of its files, where they are to be read.
    reason
        Why it will fail.
    """

    slide_id: str
    patient_id: str
    state: Prospect
    patches: int = 0
    estimated: bool = False
    image_bytes: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Forecast:
    """What an extraction will take.

    Attributes
    ----------
    slides
        One line a slide: `slide_id, patient_id, centre, state, patches, estimated, image_bytes,
        reason`.
    rates
        Of this machine; None where no patch is to be embedded.
    bytes_per_patch
        In a bag.
    free_bytes
        On the disk of the bags.
    """

    slides: pd.DataFrame
    rates: Rates | None
    bytes_per_patch: int
    free_bytes: int

    @property
    def failing(self) -> list[str]:
        """One line for each slide that will fail."""
        return [reason for reason in self.slides["reason"] if reason]

    @property
    def needed_bytes(self) -> int:
        """Of all new bags, and of the features of the largest slide before they go to its bag."""
        patches = self.slides["patches"]
        return int(patches.sum() + patches.max()) * self.bytes_per_patch if len(patches) else 0

    def by_centre(self) -> pd.DataFrame:
        """Sum up per centre, and in a last line over "all".

        Returns
        -------
        DataFrame
            `centre, slides, up_to_date, to_filter, to_make, copies, failing, patches, hours,
            gigabytes`; hours and gigabytes (1e9 bytes) are of the patches to be embedded.
        """
        groups = list(self.slides.groupby("centre", sort=True))
        return pd.DataFrame([self._summed(*group) for group in [*groups, ("all", self.slides)]])

    def to_json(self) -> dict[str, Any]:
        """Give all of it as what JSON can hold."""
        rates = self.rates
        return {
            "centres": self.by_centre().to_dict("records"),
            "slides": self.slides.to_dict("records"),
            "patches_per_second": None if rates is None else rates.to_json(),
            "bytes_per_patch": self.bytes_per_patch,
            "needed_bytes": self.needed_bytes,
            "free_bytes": self.free_bytes,
        }

    def _summed(self, centre: object, slides: pd.DataFrame) -> dict[str, Any]:
        number, patches = slides["state"].value_counts(), int(slides["patches"].sum())
        hours = patches / self.rates.together / 3600 if self.rates else 0.0
        return {
            "centre": str(centre),
            "slides": len(slides),
            "up_to_date": int(number.get("up to date", 0)),
            "to_filter": int(number.get("filter", 0)),
            "to_make": int(number.get("make", 0)),
            "copies": int(number.get("copy", 0)),
            "failing": int(number.get("fail", 0)),
            "patches": patches,
            "hours": hours,
            "gigabytes": patches * self.bytes_per_patch / 1e9,
        }


def forecast(
    cohort: Cohort,
    extraction: Extraction,
    *,
    shard: tuple[int, int] = (1, 1),
    on_slide: Callable[[SlideForecast], None] = lambda _: None,
) -> Forecast:
    """Look at every slide of a shard without embedding it, and time a few of their patches.

    Copies of images among slides that were never extracted are not found: that would read every
    byte.

    Raises
    ------
    EncoderError
        If the encoder cannot be built. A slide's own error is in its line, not raised.
    """
    encoder = load_encoder(extraction.settings)
    jobs = jobs_of(cohort, shard)
    looked = []
    with ThreadPoolExecutor(_LOOKING) as pool:
        for found in pool.map(partial(_look_at, encoder=encoder, extraction=extraction), jobs):
            looked.append(found)
            on_slide(found)
    rates = None
    if any(found.patches for found in looked):
        looked, rates = _timed(jobs, looked, encoder, extraction)
    columns = list(SlideForecast.__dataclass_fields__)
    table = pd.DataFrame([vars(found) for found in looked], columns=columns)
    centres = cohort.patients["centre"].reindex(table["patient_id"]).astype(str)
    table.insert(2, "centre", centres.to_numpy())
    itemsize = np.dtype(extraction.settings.storage).itemsize
    return Forecast(
        table,
        rates,
        encoder.dimension * itemsize + _BYTES_BESIDE,
        shutil.disk_usage(existing_folder(extraction.out)).free,
    )


def existing_folder(path: Path) -> Path:
    """Give the folder itself or, where it is still to be made, the one it will be made in."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def _look_at(job: SlideJob, encoder: Encoder, extraction: Extraction) -> SlideForecast:
    slide = job.slide
    found = SlideForecast(slide.slide_id, slide.patient_id, "make")
    try:
        source = open_source(slide, icc=extraction.settings.icc)
        found = _found_before(found, job, source, encoder, extraction)
        if found.state != "make":
            return found
        size = _size_of(source)
        patches, estimated = count_patches(slide, source, extraction)
        return replace(found, patches=patches, estimated=estimated, image_bytes=size)
    except FAILURES as error:
        return _failing(slide, error)


def _size_of(source: Source) -> int:
    try:
        return sum(file.stat().st_size for file in source.files)
    except OSError as error:
        raise AccessError(f"cannot be read ({error}); check the disk or network share") from error


def _failing(slide: Slide, error: Exception) -> SlideForecast:
    said = " ".join(str(error).split()) or type(error).__name__
    reason = f'slide "{slide.slide_id}" (manifest row {slide.row}): {said}'
    return SlideForecast(slide.slide_id, slide.patient_id, "fail", reason=reason)


def _found_before(
    found: SlideForecast, job: SlideJob, source: Source, encoder: Encoder, extraction: Extraction
) -> SlideForecast:
    """Tell whether an earlier run settled this slide; one never tried is not read for that."""
    slide = job.slide
    before = read_record(extraction.out, slide)
    attributes = attributes_if_any(bag_path(extraction.out, slide.slide_id))
    if not before.recipe and "made_by" not in attributes:
        return found
    identity = identify(source, before.files)
    left_out = doubles(slide, identity, images_before(job, extraction))
    if len(left_out) == len(source.names):
        return replace(found, state="copy")
    given = coordinates_of(slide, extraction)
    recipe = recipe_of(slide, encoder, extraction, identity, left_out, given)
    if attributes.get("made_by") == made_by(recipe):
        state = _fate_of_bag(extraction.out, slide, extraction.settings.rule)
        if state != "make":
            return replace(found, state=state)
    failed = before.lasting and before.outcome.state == "failed"
    if failed and before.recipe == made_by(recipe) and not extraction.retry_failed:
        return replace(found, state="fail", reason=before.outcome.reason)
    return found


def _fate_of_bag(out: Path, slide: Slide, rule: PatchRule) -> Prospect:
    """Tell what becomes of a bag of this recipe.

    Raises
    ------
    ImageError
        If the rule keeps none of its patches.
    """
    path = bag_path(out, slide.slide_id)
    attributes = attributes_if_any(path)
    if attributes.get("rule") == rule_text(rule):
        if not attributes["patches"]:
            refuse_if_none_is_kept(read_candidates(path))
        return "up to date"
    try:
        candidates = under_rule(path, rule)
    except (DataError, FileFormatError):
        return "make"  # damaged further in; its images are there
    refuse_if_none_is_kept(candidates)
    return "filter"


def _timed(
    jobs: Sequence[SlideJob],
    looked: Sequence[SlideForecast],
    encoder: Encoder,
    extraction: Extraction,
) -> tuple[list[SlideForecast], Rates]:
    """Time reading and embedding; a slide whose patches cannot be read will fail after all."""
    settings, looked = extraction.settings, list(looked)
    to_make = [position for position, found in enumerate(looked) if found.patches]
    on_gpu = encoder.device.type == "cuda"
    read, kept, seconds = 0, 0, 0.0
    for choice in spread_over(len(to_make), _TIMED_SLIDES):
        position = to_make[choice]
        slide = jobs[position].slide
        try:
            passed, took = _read_some(slide, extraction, on_gpu=on_gpu)
        except FAILURES as error:
            looked[position] = _failing(slide, error)
            continue
        read, kept, seconds = read + len(passed), kept + int(passed.sum()), seconds + took
    if settings.max_patches:
        # The sample ends when so many are kept; those that are dropped on the way come on top.
        most = math.ceil(settings.max_patches * max(read, 1) / max(kept, 1))
        looked = [replace(found, patches=min(found.patches, most)) for found in looked]
    embedding = time_encoder(encoder, settings.patch_px, settings.batch_size)
    reading = read / seconds if read else None
    return looked, Rates(embedding, reading, on_gpu, usable_cores())


def _read_some(
    slide: Slide, extraction: Extraction, *, on_gpu: bool
) -> tuple[NDArray[np.bool_], float]:
    """Read blocks from the middle of a slide: which patches the rule keeps, and the seconds."""
    settings = extraction.settings
    source = open_source(slide, icc=settings.icc)
    reading = Reading(settings, given=coordinates_of(slide, extraction))
    if settings.stain != "none":
        colour = measure_slide(slide, source, settings, frozenset())
        reference = extraction.reference
        if reference is None and settings.stain in METHODS_WITH_REFERENCE:
            reference = fit_reference([colour])  # as costly as the one that is still to be fitted
        reading = replace(reading, colour=colour, reference=reference)
    with block_readers(slide, source, reading) as readers:
        middle = max(0, (len(readers) - _TIMED_BLOCKS) // 2)
        blocks, seconds = time_reading(readers[middle : middle + _TIMED_BLOCKS], on_gpu=on_gpu)
    kept = [drop_reasons(block.quality, settings.rule) == 0 for block in blocks]
    return np.concatenate(kept), seconds
