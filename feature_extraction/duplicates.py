"""Find the same image twice: byte for byte, or by its looks after it was saved anew."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cohorts.files import digest_of_file
from cohorts.manifest import Cohort, Slide, SourceKind
from feature_extraction.failures import FAILURES
from feature_extraction.perceptual_hash import Looks, best_correlation, close_pairs, looks_of
from feature_extraction.sources import Source, open_source
from feature_extraction.sources.canvas import Rgb

# Copies of real cells saved at JPEG quality 70, at 80% of their size, 10% brighter or darker, or
# cropped by 1% on each side lie within 8 of 64 bits, cells of different images almost never.
_RADIUS = 8
# The two hashes of a turned copy agree in orientation, then they hardly differ, or do not at all.
_TURNED_RADIUS = 4
_LEAST_CORRELATION = 0.92
# Bare glass is like any other: below this standard deviation (of 255) looks say nothing.
_LEAST_CONTRAST = 2.0
_THUMBNAIL_PX = 64
_PIXEL_BLOCK = 1 << 13


@dataclass(frozen=True)
class ImageOfSlide:
    """One image, and the manifest's row it belongs to."""

    slide: Slide
    name: str


@dataclass(frozen=True)
class DuplicatePair:
    """Images of two patients that are the same: `exact` byte for byte, `near` by their looks."""

    kind: Literal["exact", "near"]
    first: ImageOfSlide
    second: ImageOfSlide
    correlation: float


@dataclass(frozen=True)
class DuplicateReport:
    """What was found among `images` readable images.

    `repeated` counts exact copies of an image within its patient, `pairs` are between patients,
    and `unreadable` has one line for each image or slide that could not be looked at.
    """

    images: int
    repeated: int
    pairs: tuple[DuplicatePair, ...]
    unreadable: tuple[str, ...]


def find_duplicates(
    cohort: Cohort, *, on_slide: Callable[[Slide], None] = lambda _: None
) -> DuplicateReport:
    """Look at every image of a cohort for copies, exact and near.

    Images of folders and lists are compared one by one, whole slides by their thumbnails. Whole
    slides are exact copies if their files have the same sizes and their thumbnails the same pixels:
    hashing a study's slides would take hours.

    Parameters
    ----------
    cohort
        Who has which images.
    on_slide
        Called when the images of a slide were looked at.
    """
    seen = _Seen()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for slide in cohort.slides:
            seen.add(slide, pool)
            on_slide(slide)
    repeated, exact = seen.exact_copies()
    return DuplicateReport(
        len(seen.digests), repeated, (*exact, *seen.near_copies()), tuple(seen.unreadable)
    )


class _Seen:
    """The images looked at so far; about 1 kB is held for each."""

    def __init__(self) -> None:
        self.digests: list[str] = []
        self.unreadable: list[str] = []
        self._images: list[ImageOfSlide] = []
        self._looks: list[Looks] = []

    def add(self, slide: Slide, pool: ThreadPoolExecutor) -> None:
        try:
            source = open_source(slide)
        except FAILURES as error:
            self.unreadable.append(_refusal(slide, error))
            return
        whole = slide.kind is SourceKind.SLIDE
        look = partial(_look_at, slide, source, _digest_of_slide if whole else _digest_of_image)
        for index, found in enumerate(pool.map(look, range(len(source.names)))):
            if isinstance(found, str):
                self.unreadable.append(found)
                continue
            self._images.append(ImageOfSlide(slide, source.names[index]))
            self.digests.append(found[0])
            self._looks.append(found[1])

    def exact_copies(self) -> tuple[int, list[DuplicatePair]]:
        """Count copies within patients; of those between, pair each patient's first."""
        firsts: dict[str, dict[str, ImageOfSlide]] = {}
        repeated = 0
        for digest, image in zip(self.digests, self._images, strict=True):
            owners = firsts.setdefault(digest, {})
            repeated += image.slide.patient_id in owners
            owners.setdefault(image.slide.patient_id, image)
        pairs = []
        for owners in firsts.values():
            original, *copies = owners.values()
            pairs += [DuplicatePair("exact", original, copy, 1.0) for copy in copies]
        return repeated, pairs

    def near_copies(self) -> list[DuplicatePair]:
        """Pair images of different patients that are not the same bytes but the same picture."""
        distinct = np.sort(np.unique(self.digests, return_index=True)[1])
        contrast = [self._looks[i].grey.std() >= _LEAST_CONTRAST for i in distinct]
        kept = distinct[np.array(contrast, dtype=np.bool_)]
        if not len(kept):
            return []
        looks = [self._looks[i] for i in kept]
        grey = np.stack([each.grey for each in looks])
        patients = np.unique([self._images[i].slide.patient_id for i in kept], return_inverse=True)[
            1
        ]
        correlations: dict[tuple[int, int], float] = {}
        for hashes, radius in (
            (np.array([each.hash for each in looks], dtype=np.uint64), _RADIUS),
            (np.array([each.turned_hash for each in looks], dtype=np.uint64), _TURNED_RADIUS),
        ):
            for first, second in close_pairs(hashes, radius):
                other = patients[first] != patients[second]
                correlations |= _verified(grey, first[other], second[other])
        return [
            DuplicatePair("near", self._images[kept[i]], self._images[kept[j]], correlation)
            for (i, j), correlation in sorted(correlations.items())
        ]


def _verified(
    grey: NDArray[np.uint8], first: NDArray[np.int64], second: NDArray[np.int64]
) -> dict[tuple[int, int], float]:
    """Keep the pairs whose pixels correlate, each in ascending order."""
    verified = {}
    for start in range(0, len(first), _PIXEL_BLOCK):
        i, j = first[start : start + _PIXEL_BLOCK], second[start : start + _PIXEL_BLOCK]
        correlation = best_correlation(grey[i], grey[j])
        for at in np.flatnonzero(correlation >= _LEAST_CORRELATION).tolist():
            pair = min(int(i[at]), int(j[at])), max(int(i[at]), int(j[at]))
            verified[pair] = round(float(correlation[at]), 4)
    return verified


def _look_at(
    slide: Slide,
    source: Source,
    digest_of: Callable[[Source, int, Rgb], str],
    index: int,
) -> tuple[str, Looks] | str:
    try:
        with source.open(index) as canvas:
            thumbnail = canvas.thumbnail(_THUMBNAIL_PX)
        return digest_of(source, index, thumbnail), looks_of(thumbnail)
    except FAILURES as error:
        return _refusal(slide, error)


def _digest_of_image(source: Source, index: int, _: Rgb) -> str:
    return digest_of_file(source.files[index])


def _digest_of_slide(source: Source, _: int, thumbnail: Rgb) -> str:
    sizes = sorted(file.stat().st_size for file in source.files)
    return hashlib.sha256(repr((sizes, thumbnail.shape)).encode() + thumbnail.tobytes()).hexdigest()


def _refusal(slide: Slide, error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return f'slide "{slide.slide_id}" (manifest row {slide.row}): {said}'
