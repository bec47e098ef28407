"""Embed one slide: read blocks of patches ahead of the encoder, and say what the bag will say."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from cohorts.errors import EncoderError, ImageError
from cohorts.manifest import Slide
from feature_extraction.bags import Attribute
from feature_extraction.candidates import Candidates
from feature_extraction.encoders import Encoder
from feature_extraction.feature_spool import FeatureSpool
from feature_extraction.geometry import Geometry
from feature_extraction.patch_reading import opened
from feature_extraction.patches import PatchBlock, Reading
from feature_extraction.reading_ahead import ReadBlocks, read_in_threads
from feature_extraction.recipe import stated_of
from feature_extraction.selection import REASONS, drop_reasons
from feature_extraction.settings import ExtractionSettings
from feature_extraction.sources import Source

OnPatches = Callable[[int, int], None]
"""Told how many blocks of a slide are read, and of how many."""


def embed_slide(
    slide: Slide,
    source: Source,
    encoder: Encoder,
    reading: Reading,
    spool: FeatureSpool,
    on_patches: OnPatches = lambda _done, _all: None,
    read_blocks: ReadBlocks = read_in_threads,
) -> tuple[Candidates, NDArray[np.intp]]:
    """Read, measure and embed the patches of one slide.

    Parameters
    ----------
    slide, source
        What is read.
    encoder
        What embeds it.
    reading
        How it is read.
    spool
        Receives the features, in the order of reading.
    on_patches
        Told of the progress.
    read_blocks
        Who reads.

    Returns
    -------
    candidates
        All that the bag says of its patches, but for the features.
    order
        (N,) for each candidate its row in the spool.

    Raises
    ------
    ImageError
        If an image cannot be read, states no resolution where one is asked for, or is empty
        glass; the message does not name the slide yet.
    EncoderError
        If the encoder gives no numbers.
    """
    blocks: list[PatchBlock] = []
    settings = reading.settings
    with opened(slide, source, reading) as at_hand:
        parts = at_hand.parts()
        with closing(read_blocks(at_hand, parts)) as read:
            wanted = _sampled(_told(read, len(parts), on_patches), settings)
            if encoder.device.type == "cuda":
                batches = _filled(wanted, settings.batch_size, blocks)
            else:
                batches = _as_read(wanted, settings.batch_size, blocks)
            for vectors in encoder.stream(batches):
                if not np.isfinite(vectors).all():
                    raise EncoderError(
                        "the encoder gave NaN or infinity; check the weights, mean and std"
                    )
                spool.append(vectors)
    if not len(spool):
        raise ImageError(
            f"no patch is stained by at least min_stained = {reading.settings.min_stained}; "
            "is it an empty glass?"
        )
    return _described(slide, source, encoder, reading, blocks)


def _told(blocks: Iterator[PatchBlock], of: int, on_patches: OnPatches) -> Iterator[PatchBlock]:
    """Tell of each block once it is taken and done with."""
    for number, block in enumerate(blocks, start=1):
        yield block
        on_patches(number, of)


def _sampled(blocks: Iterator[PatchBlock], settings: ExtractionSettings) -> Iterator[PatchBlock]:
    """Stop when the rule has kept as many patches as are asked for."""
    kept = 0
    for block in blocks:
        if settings.max_patches is None:
            yield block
            continue
        passed = np.cumsum(drop_reasons(block.quality, settings.rule) == 0)
        more = int(passed[-1]) if len(passed) else 0
        if kept + more >= settings.max_patches:
            yield block.first(int(np.searchsorted(passed, settings.max_patches - kept)) + 1)
            return
        kept += more
        yield block


def _as_read(
    blocks: Iterator[PatchBlock], size: int, seen: list[PatchBlock]
) -> Iterator[NDArray[np.uint8]]:
    """Give the pixels of blocks in batches of at most `size`; `seen` collects the rest of them.

    A processor cuts batches into chunks of its own: the pixels go as they were read, and are not
    copied once more.
    """
    for block in blocks:
        seen.append(block.without_pixels())
        for first in range(0, len(block), size):
            yield block.pixels[first : first + size]


def _filled(
    blocks: Iterator[PatchBlock], size: int, seen: list[PatchBlock]
) -> Iterator[NDArray[np.uint8]]:
    """Give the pixels in batches of `size`, for a GPU is fast in full batches only.

    All are the same array: the GPU's runtime has copied a batch when the next is asked for, and
    new memory for each would cost more than the copy.
    """
    batch, held = np.empty((0, 0, 0, 3), dtype=np.uint8), 0
    for block in blocks:
        seen.append(block.without_pixels())
        if not len(batch):
            batch = np.empty((size, *block.pixels.shape[1:]), dtype=np.uint8)
        first = 0
        while first < len(block):
            more = min(size - held, len(block) - first)
            batch[held : held + more] = block.pixels[first : first + more]
            held, first = held + more, first + more
            if held == size:
                yield batch
                held = 0
    if held:
        yield batch[:held]


def _described(
    slide: Slide,
    source: Source,
    encoder: Encoder,
    reading: Reading,
    blocks: Sequence[PatchBlock],
) -> tuple[Candidates, NDArray[np.intp]]:
    settings = reading.settings
    index = np.concatenate([block.image_index for block in blocks])
    coords = np.concatenate([block.coords for block in blocks])
    order = np.lexsort((coords[:, 0], coords[:, 1], index))
    quality = {
        name: np.concatenate([block.quality[name] for block in blocks])[order]
        for name in blocks[0].quality
    }
    reason = drop_reasons(quality, settings.rule)
    several = len(source.names) > 1 or settings.images == "cells"
    first = min((b for b in blocks if len(b)), key=lambda block: int(block.image_index[0]))
    candidates = Candidates(
        coords=coords[order],
        reason=reason,
        reasons=REASONS,
        quality=quality,
        image_index=index[order] if several else None,
        images=tuple(source.names) if several else (),
        attributes={
            **_provenance(slide, encoder, reading),
            "mpp_read": first.geometry.source_mpp or "unknown",
            **_told_of_canvases(blocks),
        },
        grid=_trident_grid(slide, settings, first.geometry),
    )
    return candidates, order


def _provenance(slide: Slide, encoder: Encoder, reading: Reading) -> dict[str, Attribute]:
    settings = reading.settings
    drift = {} if encoder.drift is None else {"drift": encoder.drift}
    return {
        "slide_id": slide.slide_id,
        "software": f"cmil {version('cmil')}",
        "encoder": encoder.name,
        "encoder_digest": encoder.digest,
        "precision": encoder.precision,
        "backend": encoder.backend,
        **drift,
        "dimension": encoder.dimension,
        **stated_of(settings),
    }


def _told_of_canvases(blocks: Sequence[PatchBlock]) -> dict[str, Attribute]:
    """Say what read the first image, what became of colour profiles, and of how many images."""
    told = {index: facts for block in blocks for index, facts in block.canvases.items()}
    states = [facts["icc"] for facts in told.values()]
    state = next((state for state in states if state != "none"), "none")
    several = {"icc_images": states.count(state)} if len(told) > 1 else {}
    return {"reader": told[min(told)]["reader"], "icc": state, **several}


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
