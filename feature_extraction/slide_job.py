"""One slide from its images to its bag: the unit of work of every engine."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cohorts.errors import AccessError, DataError, FileFormatError, ImageError
from cohorts.manifest import Slide
from feature_extraction.bags import bag_path
from feature_extraction.candidates import Candidates, read_candidates, write_candidates
from feature_extraction.colour import ColourReference
from feature_extraction.colour_sample import measure_slide
from feature_extraction.embedding import OnPatches, embed_slide
from feature_extraction.encoders import Encoder
from feature_extraction.failures import FAILURES
from feature_extraction.feature_spool import FeatureSpool
from feature_extraction.identity import SourceIdentity, doubles, identify, images_of
from feature_extraction.patches import Reading
from feature_extraction.reading_ahead import ReadBlocks, read_in_threads
from feature_extraction.recipe import (
    RECIPE_VERSION,
    Recipe,
    attributes_if_any,
    differences,
    made_by,
    recipe_text,
    reference_text,
    rule_text,
)
from feature_extraction.refilter import apply_rule, refuse_if_none_is_kept
from feature_extraction.settings import ExtractionSettings
from feature_extraction.slide_lock import slide_lock
from feature_extraction.slide_record import (
    SlideOutcome,
    SlideRecord,
    read_record,
    write_record,
)
from feature_extraction.sources import Source, open_source
from feature_extraction.sources.image_source import refusal_of_all

if TYPE_CHECKING:
    from feature_extraction.coordinates import Coordinates

_Embed = Callable[
    [Slide, Source, Encoder, Reading, FeatureSpool], tuple[Candidates, NDArray[np.intp]]
]
_NOT_TRIED = "not tried again, it failed alike twice; --retry-failed tries it"


@dataclass(frozen=True)
class Extraction:
    """What is asked of every slide.

    Attributes
    ----------
    settings
        Of the study.
    out
        Folder of the bags.
    seed
        Of the samples that `max_patches` draws.
    reference
        The colours that slides are brought to, where the settings ask for it.
    coordinates
        Folder of coordinate files of TRIDENT or CLAM, in place of the grid.
    retry_failed
        Try a slide again whose images failed by this very recipe.
    """

    settings: ExtractionSettings
    out: Path
    seed: int = 0
    reference: ColourReference | None = None
    coordinates: Path | None = None
    retry_failed: bool = False


@dataclass(frozen=True)
class SlideJob:
    """A slide, and the slides of the same patient that come before it in the manifest."""

    slide: Slide
    earlier: tuple[Slide, ...] = ()


def extract_slide(
    job: SlideJob,
    encoder: Encoder,
    extraction: Extraction,
    *,
    wait: bool = False,
    on_patches: OnPatches = lambda _done, _all: None,
    read_blocks: ReadBlocks = read_in_threads,
) -> SlideOutcome:
    """Make the bag of a slide, or find that it is still true.

    A slide that fails gives an outcome that says why; it raises nothing.

    Raises
    ------
    InWorkElsewhere
        If another process works at it, unless `wait` is set.
    AccessError
        If the file system has no locks.
    """
    with slide_lock(job.slide.slide_id, extraction.out, wait=wait):
        before = read_record(extraction.out, job.slide)
        started = time.monotonic()
        after = _attempt(job, encoder, extraction, before, on_patches, read_blocks)
        if after.attempts != before.attempts:
            after = replace(after, seconds=round(time.monotonic() - started, 3))
        settled = after
        if after.outcome.state == "reused":
            settled = replace(after, outcome=replace(after.outcome, state="made"))
        if settled != before:
            write_record(extraction.out, settled)
        return after.outcome


def give_up(slide: Slide, extraction: Extraction, why: str, *, attempts: int) -> SlideOutcome:
    """List a slide as failed in place of the processes that died of it; the next run tries again.

    Raises
    ------
    InWorkElsewhere
        If another process works at it.
    """
    with slide_lock(slide.slide_id, extraction.out, wait=False):
        before = read_record(extraction.out, slide)
        serves = _serves(bag_path(extraction.out, slide.slide_id))
        failed = _failed(slide, AccessError(why), serves=serves)
        attempts += before.attempts
        write_record(
            extraction.out, replace(before, outcome=failed, attempts=attempts, lasting=False)
        )
        return failed


def _attempt(
    job: SlideJob,
    encoder: Encoder,
    extraction: Extraction,
    before: SlideRecord,
    on_patches: OnPatches,
    read_blocks: ReadBlocks,
) -> SlideRecord:
    slide, path = job.slide, bag_path(extraction.out, job.slide.slide_id)
    now = before
    try:
        source = open_source(slide, icc=extraction.settings.icc)
        identity = identify(source, before.files)
        files = {"stat": identity.stat, "digests": list(identity.digests)}
        left_out = doubles(slide, identity, images_before(job, extraction))
        given = coordinates_of(slide, extraction)
        recipe = recipe_of(slide, encoder, extraction, identity, left_out, given)
        now = replace(before, files=files, recipe=made_by(recipe))
        if len(left_out) == len(source.names):
            path.unlink(missing_ok=True)
            return replace(now, outcome=_double(slide, len(left_out)), lasting=False)
        found = _reused(slide, path, recipe, extraction.settings, len(left_out))
        if found:
            return replace(now, outcome=found, lasting=False)
        if before.lasting and _failed_alike(before, now) and not extraction.retry_failed:
            return replace(before, outcome=replace(before.outcome, note=_NOT_TRIED))
        outcome = replace(
            SlideOutcome(slide.slide_id, slide.patient_id, "made"),
            note=differences(attributes_if_any(path), recipe),
            duplicates=len(left_out),
        )
        path.unlink(missing_ok=True)  # of other bytes or settings: no one may take it for new
        reading = _reading_of(slide, source, extraction, left_out, given)
        embed = partial(embed_slide, on_patches=on_patches, read_blocks=read_blocks)
        made = _make(slide, source, encoder, reading, extraction, recipe, identity, embed)
        outcome = replace(outcome, patches=made[0], dropped=made[1])
        return replace(now, outcome=outcome, attempts=before.attempts + 1, lasting=False)
    except FAILURES as error:
        # Met twice: a share that is away for a moment looks like damage, too. A bag that the
        # rule left empty is no failure of the images.
        met_twice = isinstance(error, ImageError) and _failed_alike(before, now)
        lasting = met_twice and not path.exists()
        failed = _failed(slide, error, serves=_serves(path))
        return replace(now, outcome=failed, attempts=before.attempts + 1, lasting=lasting)


def images_before(job: SlideJob, extraction: Extraction) -> list[str]:
    """Digests of the images of the patient's earlier slides that can be read and did not fail."""
    images: list[str] = []
    for slide in job.earlier:
        record = read_record(extraction.out, slide)
        if record.outcome.state == "failed":
            continue  # it gives no patch, so its images must come from elsewhere
        try:
            source = open_source(slide, icc=extraction.settings.icc)
            identity = identify(source, record.files)
        except (ImageError, AccessError):
            continue  # its own job says so
        images.extend(images_of(slide, identity))
    return images


def coordinates_of(slide: Slide, extraction: Extraction) -> "Coordinates | None":
    """Read where another program found a slide's patches, if that is asked for.

    Raises
    ------
    FileFormatError
        If the slide's coordinate file is missing or damaged.
    """
    if extraction.coordinates is None:
        return None
    from feature_extraction.coordinates import coordinates_path, read_coordinates

    return read_coordinates(coordinates_path(extraction.coordinates, slide.slide_id))


def recipe_of(
    slide: Slide,
    encoder: Encoder,
    extraction: Extraction,
    identity: SourceIdentity,
    left_out: frozenset[int],
    given: "Coordinates | None",
) -> Recipe:
    """Everything that decides the numbers in a bag, but for the rule, which can be applied anew."""
    settings = extraction.settings
    chosen = settings.model_dump(
        mode="json",
        include={"images", "mpp", "patch_px", "min_stained", "storage", "icc", "stain"},
    )
    sample = {}
    if settings.max_patches:  # the rule decides where the sample ends
        rule = settings.rule.model_dump(mode="json")
        sample = {"max_patches": settings.max_patches, "seed": extraction.seed, "rule": rule}
    return {
        "version": RECIPE_VERSION,
        "encoder": encoder.name,
        "encoder_digest": encoder.digest,
        "precision": encoder.precision,
        **chosen,
        **sample,
        "stain_reference": extraction.reference.digest if extraction.reference else "none",
        "coordinates": given.digest if given else "none",
        "slide_mpp": slide.mpp,
        "duplicates": sorted(left_out),
        "source": identity.digest,
    }


def _reused(
    slide: Slide, path: Path, recipe: Recipe, settings: ExtractionSettings, duplicates: int
) -> SlideOutcome | None:
    """Take the bag that is there if it is of this recipe, with this rule applied to it."""
    attributes = attributes_if_any(path)
    if attributes.get("made_by") != made_by(recipe):
        return None
    outcome = SlideOutcome(slide.slide_id, slide.patient_id, "reused", duplicates=duplicates)
    if attributes.get("rule") != rule_text(settings.rule):
        outcome = replace(outcome, state="refiltered")
        try:
            attributes = apply_rule(path, settings.rule)
        except (DataError, FileFormatError):
            return None  # damaged further in; its images are there, so it is made again
    if not attributes["patches"]:
        refuse_if_none_is_kept(read_candidates(path))
    kept, dropped = int(attributes["patches"]), int(attributes.get("dropped", 0))
    return replace(outcome, patches=kept, dropped=dropped)


def _failed_alike(before: SlideRecord, now: SlideRecord) -> bool:
    """Whether the last attempt failed with the same images and settings."""
    return before.outcome.state == "failed" and before.recipe == now.recipe != ""


def _reading_of(
    slide: Slide,
    source: Source,
    extraction: Extraction,
    left_out: frozenset[int],
    given: "Coordinates | None",
) -> Reading:
    settings = extraction.settings
    seed = (extraction.seed, *slide.slide_id.encode())
    reading = Reading(settings, left_out=left_out, given=given, seed=seed)
    if settings.stain == "none":
        return reading
    colour = measure_slide(slide, source, settings, left_out)
    return replace(reading, colour=colour, reference=extraction.reference)


def _make(
    slide: Slide,
    source: Source,
    encoder: Encoder,
    reading: Reading,
    extraction: Extraction,
    recipe: Recipe,
    identity: SourceIdentity,
    embed: _Embed,
) -> tuple[int, int]:
    """Write the bag; count the patches kept and dropped."""
    settings = extraction.settings
    with FeatureSpool(extraction.out, settings.storage) as spool:
        try:
            candidates, order = embed(slide, source, encoder, reading, spool)
        except ImageError as error:
            raise refusal_of_all(source, error) from error
        attributes = {
            **candidates.attributes,
            "stain_reference": reference_text(extraction.reference),
            "rule": rule_text(settings.rule),
            "recipe": recipe_text(recipe),
            "made_by": made_by(recipe),
            "source_digest": identity.digest,
            "duplicates": len(reading.left_out),
        }
        candidates = replace(candidates, attributes=attributes)
        path = bag_path(extraction.out, slide.slide_id)
        write_candidates(path, candidates, spool.blocks(order))
    refuse_if_none_is_kept(candidates)
    kept = int(candidates.kept.sum())
    return kept, len(candidates) - kept


def _serves(path: Path) -> bool:
    """Whether there is a bag with patches, as far as that can be told now."""
    try:
        return bool(attributes_if_any(path).get("patches"))
    except AccessError:
        return False


def _double(slide: Slide, images: int) -> SlideOutcome:
    note = "all its images are, byte for byte, in an earlier slide of the patient"
    return SlideOutcome(slide.slide_id, slide.patient_id, "duplicate", duplicates=images, note=note)


def _failed(slide: Slide, error: Exception, *, serves: bool) -> SlideOutcome:
    # Where the images cannot be looked at now, the bag made of them earlier stays and serves.
    kept = "; the bag made earlier is kept and used" if serves else ""
    said = " ".join(str(error).split()) or type(error).__name__
    reason = f'slide "{slide.slide_id}" (manifest row {slide.row}): {said}{kept}'
    return SlideOutcome(slide.slide_id, slide.patient_id, "failed", reason=reason)
