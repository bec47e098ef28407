"""The stage: every slide of a cohort becomes a bag; what fails is listed and stops nobody else."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import pandas as pd

from cohorts.errors import AccessError, FileFormatError, ImageError
from cohorts.files import digest_of, digest_of_file, read_json, write_json, write_text
from cohorts.manifest import Cohort, Slide
from feature_extraction.bags import bag_path, read_bag_attributes, write_bag
from feature_extraction.embedding import embed_slide
from feature_extraction.encoders import Encoder, load_encoder
from feature_extraction.settings import ExtractionSettings
from feature_extraction.sources import Source, open_source

# Raised when a change of this package changes the numbers in a bag.
RECIPE_VERSION = 1

# What may befall one slide and must not stop the others; a mistake of ours is none of these.
_FAILURES = (ImageError, AccessError, OSError, MemoryError, cv2.error)


@dataclass(frozen=True)
class SlideOutcome:
    """What became of one slide, and why if it failed."""

    slide_id: str
    patient_id: str
    state: Literal["made", "reused", "failed"]
    patches: int
    reason: str


def extract(
    cohort: Cohort,
    settings: ExtractionSettings,
    out: Path,
    *,
    on_slide: Callable[[SlideOutcome], None] = lambda _: None,
) -> list[SlideOutcome]:
    """Write `out/<slide_id>.h5` for every slide, and `out/slides.csv` with what became of each.

    A bag is kept if it was made by the same recipe (encoder, weights, precision, patch rule) from
    the same bytes; whatever else is made again. A slide that fails is listed and does not stop
    the others.

    Raises
    ------
    EncoderError
        If the encoder cannot be built. A slide's own error is in its outcome, not raised.
    """
    encoder = load_encoder(settings)
    outcomes = []
    for slide in cohort.slides:
        outcomes.append(_extract_slide(slide, encoder, settings, out))
        on_slide(outcomes[-1])
    table = pd.DataFrame([asdict(outcome) for outcome in outcomes])
    write_text(out / "slides.csv", table.to_csv(index=False))
    return outcomes


def _extract_slide(
    slide: Slide, encoder: Encoder, settings: ExtractionSettings, out: Path
) -> SlideOutcome:
    path = bag_path(out, slide.slide_id)
    state_path = out / "state" / f"{slide.slide_id}.json"
    before = _read_state(state_path)
    started = time.monotonic()
    files: dict[str, str] = {}
    try:
        source = open_source(slide)
        files = _identify(source, before)
        made_by = digest_of([_recipe_of(encoder, settings), files["digest"], slide.mpp])
        patches = _patches_if_made_by(path, made_by)
        outcome = SlideOutcome(slide.slide_id, slide.patient_id, "reused", patches, "")
        if not patches:
            path.unlink(missing_ok=True)  # of other bytes or settings: no one may take it for new
            bag = embed_slide(slide, source, encoder, settings)
            made = {"made_by": made_by, "source_digest": files["digest"]}
            write_bag(path, replace(bag, attributes={**bag.attributes, **made}))
            outcome = replace(outcome, state="made", patches=len(bag))
    except _FAILURES as error:
        # Where the images cannot be looked at now, the bag made of them earlier stays and serves.
        kept = "; the bag made earlier is kept and used" if path.exists() else ""
        said = " ".join(str(error).split()) or type(error).__name__
        reason = f'slide "{slide.slide_id}" (manifest row {slide.row}): {said}{kept}'
        outcome = SlideOutcome(slide.slide_id, slide.patient_id, "failed", 0, reason)
    if outcome.state != "reused":
        attempts = before.get("attempts", 0) + 1
        seconds = round(time.monotonic() - started, 3)
        known = files or before.get("files", {})
        state = {**asdict(outcome), "attempts": attempts, "seconds": seconds, "files": known}
        write_json(state_path, state)
    return outcome


def _recipe_of(encoder: Encoder, settings: ExtractionSettings) -> str:
    """Digest of everything but the image that decides the numbers in a bag."""
    chosen = settings.model_dump(
        mode="json", include={"images", "mpp", "patch_px", "min_stained", "storage"}
    )
    return digest_of([RECIPE_VERSION, encoder.digest, encoder.precision, chosen])


def _patches_if_made_by(path: Path, made_by: str) -> int:
    """Count the patches of the bag at `path` if it was made by this recipe; else give 0."""
    try:
        attributes = read_bag_attributes(path)
    except FileFormatError:
        return 0  # absent, cut short or of another version: in each case it is made again
    return int(attributes["patches"]) if attributes.get("made_by") == made_by else 0


def _read_state(path: Path) -> Mapping[str, Any]:
    try:
        state = read_json(path)
    except FileFormatError:
        return {}  # it only saves work; absent or damaged, the slide is looked at afresh
    return state if isinstance(state, dict) else {}


def _identify(source: Source, before: Mapping[str, Any]) -> dict[str, str]:
    """Digest of the files' bytes; hashed again only where a size or time of change differs.

    Hashing a study's slides over a network share takes hours, and every resumption needs it.
    """
    try:
        files = source.files
        stats = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        stat = digest_of(stats)
        known = before.get("files", {})
        if known.get("stat") == stat:
            return dict(known)
        digests = [[file.name, digest_of_file(file)] for file in files]
    except OSError as error:
        raise AccessError(f"cannot be read ({error}); check the disk or network share") from error
    return {"stat": stat, "digest": digest_of(digests)}
