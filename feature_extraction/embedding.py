"""Embed one slide: read blocks of patches ahead of the encoder, and put the bag together."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from cohorts.errors import ImageError
from cohorts.manifest import Slide
from feature_extraction.bags import Attribute, Bag
from feature_extraction.encoders import Encoder
from feature_extraction.patches import BlockReader, Geometry, PatchBlock, block_readers
from feature_extraction.settings import ExtractionSettings
from feature_extraction.sources import Source

_READERS = 2
_BLOCKS_AHEAD = 16


def embed_slide(
    slide: Slide, source: Source, encoder: Encoder, settings: ExtractionSettings
) -> Bag:
    """Read, choose and embed the patches of one slide.

    Raises
    ------
    ImageError
        If an image cannot be read, states no resolution where one is asked for, or is empty
        glass; the message does not name the slide yet.
    """
    blocks: list[PatchBlock] = []
    with block_readers(slide, source, settings) as readers, ThreadPoolExecutor(_READERS) as pool:
        batches = _batches(_read_ahead(readers, pool), settings.batch_size, blocks)
        vectors = [encoder(batch) for batch in batches]
    if not vectors:
        raise ImageError(
            f"no patch is stained by at least min_stained = {settings.min_stained}; "
            "is it an empty glass?"
        )
    features = np.concatenate(vectors)
    if not np.isfinite(features).all():
        raise ImageError("the encoder gave NaN or infinity; check the weights, mean and std")
    return _assemble(slide, source, encoder, settings, blocks, features)


def _read_ahead(readers: Sequence[BlockReader], pool: ThreadPoolExecutor) -> Iterator[PatchBlock]:
    """Read blocks in parallel and in order, a bounded number ahead of the encoder."""
    waiting: deque[Future[PatchBlock]] = deque()
    try:
        for reader in readers:
            waiting.append(pool.submit(reader))
            if len(waiting) >= _BLOCKS_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _batches(
    blocks: Iterator[PatchBlock], size: int, seen: list[PatchBlock]
) -> Iterator[NDArray[np.uint8]]:
    """Regroup the pixels of blocks into batches of `size`; `seen` collects the rest of them."""
    held: list[NDArray[np.uint8]] = []
    for block in blocks:
        seen.append(block.without_pixels())
        held.append(block.pixels)
        while sum(len(pixels) for pixels in held) >= size:
            together = np.concatenate(held)
            yield together[:size]
            held = [together[size:]]
    if sum(len(pixels) for pixels in held):
        yield np.concatenate(held)


def _assemble(
    slide: Slide,
    source: Source,
    encoder: Encoder,
    settings: ExtractionSettings,
    blocks: Sequence[PatchBlock],
    features: NDArray[np.float32],
) -> Bag:
    geometry = blocks[0].geometry
    several = len(source.names) > 1 or settings.images == "cells"
    index = np.concatenate([np.full(len(b.coords), b.image_index, np.int32) for b in blocks])
    return Bag(
        features=features.astype(settings.storage),
        coords=np.concatenate([block.coords for block in blocks]),
        attributes=_provenance(slide, encoder, settings, geometry, len(features)),
        grid=_trident_grid(slide, settings, geometry),
        image_index=index if several else None,
        images=tuple(source.names) if several else (),
        quality={"stained": np.concatenate([block.stained for block in blocks])},
    )


def _provenance(
    slide: Slide, encoder: Encoder, settings: ExtractionSettings, geometry: Geometry, patches: int
) -> dict[str, Attribute]:
    return {
        "slide_id": slide.slide_id,
        "software": f"cmil {version('cmil')}",
        "encoder": encoder.name,
        "encoder_digest": encoder.digest,
        "precision": encoder.precision,
        "dimension": encoder.dimension,
        "patches": patches,
        "images_are": settings.images,
        "patch_px": settings.patch_px,
        "mpp_read": geometry.source_mpp or "unknown",
        "mpp_used": settings.mpp,
        "stain": "none",
        "min_stained": settings.min_stained,
    }


def _trident_grid(
    slide: Slide, settings: ExtractionSettings, geometry: Geometry
) -> dict[str, Attribute]:
    """Name the grid as TRIDENT does; a magnification is 10 / mpp, 0 where mpp is not known."""

    def magnification(mpp: float | None) -> float:
        return 10 / mpp if mpp else 0.0

    return {
        "patch_size": settings.patch_px,
        "patch_size_level0": geometry.side,
        "level0_magnification": magnification(geometry.source_mpp),
        "target_magnification": magnification(geometry.patch_mpp),
        "overlap": 0,
        "name": slide.slide_id,
        "level0_width": geometry.width,
        "level0_height": geometry.height,
    }
