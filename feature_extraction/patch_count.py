"""How many patches a slide has, counted on thumbnails."""

from itertools import pairwise

import numpy as np

from cohorts.errors import ImageError
from cohorts.manifest import Slide
from feature_extraction.patch_reading import block_readers, candidates_of
from feature_extraction.patches import Reading
from feature_extraction.slide_job import Extraction, coordinates_of
from feature_extraction.sources import Source

# Images of a folder that are looked at; the others are taken to hold as many patches.
_IMAGES_LOOKED_AT = 20


def count_patches(slide: Slide, source: Source, extraction: Extraction) -> tuple[int, bool]:
    """Count the patches of a source that extraction will embed.

    Returns
    -------
    Their number, and whether it is from a sample of the source's images.

    Raises
    ------
    ImageError
        If an image cannot be opened or cut as the settings ask, or no patch is stained.
    """
    settings, images = extraction.settings, len(source.names)
    given = coordinates_of(slide, extraction)
    reading = Reading(settings, given=given)
    if images == 1 and settings.images == "fields":
        with source.open(0) as canvas:
            geometry, coords = candidates_of(slide, canvas, settings)
        counted = len(given.of(geometry)) if given else len(coords)
        return _refuse_empty(counted, settings.min_stained), False
    with block_readers(slide, source, reading):
        pass  # refuses what cannot be cut this way
    looked_at = spread_over(images, _IMAGES_LOOKED_AT)
    counts = [_count_image(slide, source, index, extraction) for index in looked_at]
    if settings.images == "cells":
        return images, False
    if len(looked_at) == images:
        return _refuse_empty(sum(counts), settings.min_stained), False
    return round(sum(counts) / len(counts) * images), True


def _count_image(slide: Slide, source: Source, index: int, extraction: Extraction) -> int:
    with source.open(index) as canvas:
        if extraction.settings.images == "cells":
            return 1
        try:
            return len(candidates_of(slide, canvas, extraction.settings)[1])
        except ImageError as error:
            raise ImageError(f'image "{source.names[index]}": {error}') from error


def _refuse_empty(patches: int, min_stained: float) -> int:
    if not patches:
        raise ImageError(
            f"no patch is stained by at least min_stained = {min_stained}; is it an empty glass?"
        )
    return patches


def spread_over(count: int, most: int) -> list[int]:
    """Draw `most` of `count` indices, one from each of as many stretches of equal length."""
    if count <= most:
        return list(range(count))
    edges = np.linspace(0, count, most + 1).astype(int)
    random = np.random.default_rng(0)
    return [int(random.integers(first, last)) for first, last in pairwise(edges)]
