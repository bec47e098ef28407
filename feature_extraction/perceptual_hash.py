"""Recognise an image by its looks: a hash of its coarse structure, and what lies close to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from feature_extraction.sources.canvas import Rgb, resized

_HASHED_PX = 32
_COMPARED_PX = 16
_BANDS = ((42, 22), (21, 21), (0, 21))
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Looks:
    """What is kept of an image to recognise it by.

    Attributes
    ----------
    hash, turned_hash
        64 bits; the second is the same for a copy that was turned by 90 degrees or mirrored.
    grey
        (16, 16) uint8.
    """

    hash: int
    turned_hash: int
    grey: NDArray[np.uint8]


def looks_of(image: Rgb) -> Looks:
    """Hash an image by the signs of its coarse structure.

    The hash is that of ImageHash's `phash`: the 8 x 8 lowest frequencies of the cosine transform of
    32 x 32 grey pixels, each above or below their median. Mirroring changes the sign of odd
    frequencies and a quarter turn also transposes them, so the orientation in which the two lowest
    are positive and in order gives the hash of a turned copy without turning any pixel.

    Parameters
    ----------
    image
        (H, W, 3) uint8.
    """
    grey = cv2.cvtColor(resized(image, _HASHED_PX, _HASHED_PX), cv2.COLOR_RGB2GRAY)
    low = dctn(grey.astype(np.float32))[:8, :8]
    small = cv2.resize(grey, (_COMPARED_PX, _COMPARED_PX), interpolation=cv2.INTER_AREA)
    return Looks(_above_median(low), _above_median(_canonical(low)), small.astype(np.uint8))


def close_pairs(
    hashes: NDArray[np.uint64], radius: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Give the pairs of hashes that differ in at most `radius` of 64 bits, each once, in blocks.

    Of three bands of 21 or 22 bits, one differs in at most a third of `radius`; so every hash is
    looked up in a table of each band, with every such difference (multi-index hashing, Norouzi et
    al. 2012). Nothing is compared that does not agree that far in a band.

    Returns
    -------
    Positions of the first and of the second hashes of a block, (n,) each, not in order.
    """
    most = radius // len(_BANDS)
    for band, (shift, width) in enumerate(_BANDS):
        keys = ((hashes >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        in_order = hashes[order]
        values, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
        place = np.full(1 << width, -1, dtype=np.int32)
        place[values] = np.arange(len(values))
        for flipped in _differences(width, most):
            partner = place[values ^ flipped]
            here = np.flatnonzero((partner >= 0) & (values <= (values ^ flipped)))
            there = partner[here]
            for a, b in _products(starts[here], counts[here], starts[there], counts[there]):
                difference = in_order[a] ^ in_order[b]
                close = _ones(difference) <= radius
                if flipped == 0:
                    close &= a < b
                new = np.flatnonzero(close)
                for earlier in range(band):  # else it was given by that band already
                    new = new[_ones(_band_of(difference[new], earlier)) > most]
                yield order[a[new]], order[b[new]]


def best_correlation(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Correlate pairs of (n, k, k) grey images, best over quarter turns and mirroring.

    A correlation does not see brightness or contrast; 0 where an image has none.

    Returns
    -------
    (n,) float32, -1 to 1
    """
    fixed = _standardised(first)
    best = np.full(len(first), -1, dtype=np.float32)
    for mirrored in (second, second[:, :, ::-1]):
        for quarter in range(4):
            turned = _standardised(np.rot90(mirrored, quarter, axes=(1, 2)))
            best = np.maximum(best, np.einsum("nk,nk->n", fixed, turned))
    return best


def _canonical(low: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn and mirror so that both lowest odd frequencies are positive, the larger across."""
    odd = np.where(np.arange(len(low)) % 2, -1, 1).astype(np.float32)
    across = low * odd if low[0, 1] < 0 else low
    upright = across * odd[:, None] if across[1, 0] < 0 else across
    return upright.T if upright[1, 0] > upright[0, 1] else upright


def _above_median(low: NDArray[np.float32]) -> int:
    above = (low > np.median(low)).ravel()
    # The lowest frequencies hardly differ between images: each band gets a share of them.
    dealt = np.concatenate([above[0::3], above[1::3], above[2::3]])
    return int.from_bytes(np.packbits(dealt).tobytes(), "big")


def _differences(width: int, most: int) -> Iterator[int]:
    """All `width`-bit numbers with at most `most` ones."""
    for ones in range(most + 1):
        for places in combinations(range(width), ones):
            yield sum(1 << place for place in places)


def _products(
    start_a: NDArray[np.int64],
    count_a: NDArray[np.int64],
    start_b: NDArray[np.int64],
    count_b: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pair every member of each run a with every member of its run b, a bounded number a time."""
    sizes = count_a * count_b
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    for begin in range(0, total, _BLOCK):
        end = min(begin + _BLOCK, total)
        runs = np.arange(np.searchsorted(ends, begin, side="right"), np.searchsorted(ends, end) + 1)
        inside = np.minimum(ends[runs], end) - np.maximum(ends[runs] - sizes[runs], begin)
        run = np.repeat(runs, inside)
        row, column = np.divmod(np.arange(begin, end) - (ends[run] - sizes[run]), count_b[run])
        yield start_a[run] + row, start_b[run] + column


def _band_of(difference: NDArray[np.uint64], band: int) -> NDArray[np.uint64]:
    shift, width = _BANDS[band]
    return (difference >> np.uint64(shift)) & np.uint64((1 << width) - 1)


def _ones(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Count the ones of each value in parallel halves (Warren, Hacker's Delight, 5-1)."""
    pairs = values - ((values >> np.uint64(1)) & np.uint64(0x5555555555555555))
    low = np.uint64(0x3333333333333333)
    fours = (pairs & low) + ((pairs >> np.uint64(2)) & low)
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.asarray((eights * np.uint64(0x0101010101010101)) >> np.uint64(56), dtype=np.uint64)


def _standardised(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    flat = grey.reshape(len(grey), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    flat /= np.where(norm > 0, norm, 1)
    return flat
