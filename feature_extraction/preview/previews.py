"""Write the previews of a cohort's slides beside their bags."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cohorts.files import digest_of, whole_file
from cohorts.manifest import Cohort, Slide
from feature_extraction.bags import bag_path
from feature_extraction.candidates import Candidates, read_candidates
from feature_extraction.failures import FAILURES
from feature_extraction.preview.slide_picture import draw_preview

# Raised when a preview of the same bag would look different.
_DRAWING_VERSION = 1
_MADE_OF = "cmil-preview"
_THREADS = 2


@dataclass(frozen=True)
class PreviewOutcome:
    """What became of the preview of one slide, and why if it failed."""

    slide_id: str
    state: Literal["drawn", "reused", "failed"]
    path: Path
    reason: str


def preview_path(bags: Path, slide_id: str) -> Path:
    """Where the preview of a slide lies."""
    return bags / "preview" / f"{slide_id}.png"


def write_previews(
    cohort: Cohort,
    bags: Path,
    *,
    on_slide: Callable[[str], None] = lambda _: None,
) -> list[PreviewOutcome]:
    """Draw every slide that has a bag to `bags/preview/<slide_id>.png`.

    A preview whose bag is unchanged is kept; one of an earlier bag is removed, even if it cannot
    be drawn anew. A slide that cannot be drawn is listed and does not stop the others.

    Parameters
    ----------
    cohort
        Slides without a bag are passed over; a preview that such a slide has is removed.
    bags
        Folder of the bags.
    on_slide
        Called with the id of each slide that is done with, in the manifest's order.
    """
    centre = cohort.patients["centre"]

    def write(slide: Slide) -> PreviewOutcome | None:
        return _write_preview(slide, str(centre[slide.patient_id]), bags)

    outcomes = []
    # Decoding and encoding run outside Python's lock, so threads draw side by side.
    with ThreadPoolExecutor(_THREADS) as pool:
        for slide, outcome in zip(cohort.slides, pool.map(write, cohort.slides), strict=True):
            if outcome is not None:
                outcomes.append(outcome)
            on_slide(slide.slide_id)
    return outcomes


def save_preview(path: Path, slide: Slide, candidates: Candidates, centre: str) -> None:
    """Draw one slide to `path`, whole or not at all; the file states what it was drawn of.

    Raises
    ------
    ImageError, FileFormatError
        As `draw_preview`.
    """
    picture = draw_preview(slide, candidates, centre)
    said = PngInfo()
    said.add_text(_MADE_OF, _identity(slide, centre, candidates))
    with whole_file(path) as partial:
        picture.save(partial, format="PNG", compress_level=4, pnginfo=said)


def _write_preview(slide: Slide, centre: str, bags: Path) -> PreviewOutcome | None:
    path = preview_path(bags, slide.slide_id)
    try:
        if not bag_path(bags, slide.slide_id).exists():
            path.unlink(missing_ok=True)  # of a bag that is gone
            return None
        candidates = read_candidates(bag_path(bags, slide.slide_id))
        if _made_of(path) == _identity(slide, centre, candidates):
            return PreviewOutcome(slide.slide_id, "reused", path, "")
        path.unlink(missing_ok=True)  # of another bag: no one may take it for this one's
        save_preview(path, slide, candidates, centre)
    except FAILURES as error:
        words = " ".join(str(error).split()) or type(error).__name__
        reason = f'preview of slide "{slide.slide_id}" (manifest row {slide.row}): {words}'
        return PreviewOutcome(slide.slide_id, "failed", path, reason)
    return PreviewOutcome(slide.slide_id, "drawn", path, "")


def _identity(slide: Slide, centre: str, candidates: Candidates) -> str:
    """Digest of all that is drawn; the bag's `made_by` stands for the pixels."""
    arrays = hashlib.sha256(candidates.coords.tobytes() + candidates.reason.tobytes())
    for measure in sorted(candidates.quality):
        arrays.update(candidates.quality[measure].tobytes())
    words = [slide.patient_id, centre, str(slide.mpp), *candidates.images, *candidates.reasons]
    said = [*candidates.attributes.items(), *candidates.grid.items()]
    # As text: a bag of another program may state what JSON does not know, such as NaN.
    return digest_of([_DRAWING_VERSION, words, [str(item) for item in said], arrays.hexdigest()])


def _made_of(path: Path) -> str | None:
    """Read what a preview was drawn of; one that is absent or damaged was drawn of nothing."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            stated = picture.info.get(_MADE_OF)
            return stated if isinstance(stated, str) else None
    except (OSError, SyntaxError, ValueError):
        return None
