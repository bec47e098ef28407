"""Measure how readable a patch of a smear is: in focus, one layer of cells, no ink.

Each measure looks at one patch alone and at the slide's glass colour; no limit is set here (see
`selection`). Colours are told by absorbance, -log10(I / I0) per channel with I0 the glass
(Beer-Lambert): it adds up where cells overlap and does not depend on the lamp.
"""

from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from feature_extraction.sources.canvas import Rgb
from feature_extraction.staining import STAINED_ABSORBANCE

MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "stained": "share of pixels that absorb light, 0 to 1",
        "cellularity": "share of pixels in the colours of nucleated cells, 0 to 1",
        "overlap": "mean layers of cells on the ground between nuclei; below 1 glass shows",
        "sharpness": "share of the contrast at an edge that is crossed within 1 um",
        "saturation": "mean colourfulness of stained pixels, in absorbance; 0 is grey",
        "ink": "share of pixels as black, or as green, blue or red as no stain is, 0 to 1",
    }
)
"""Name and unit of each measure."""

Float = NDArray[np.float32]
Absorbance = NDArray[np.uint8]
"""In 160ths, at most 1.59."""

_PER_UNIT = 160
# So many points a side are enough for shares and colours; every k-th pixel keeps its own colour.
_POINTS = 32
# Nuclei and the cytoplasm of nucleated cells absorb red light more than blue; a red cell does not.
# Neither much of it nor much more of it may be a red cell under plasma that took the stain.
_NUCLEAR_RED = 24  # 0.15
_STAINED = round(STAINED_ABSORBANCE * _PER_UNIT)
# Absorbance: of ink at least 0.6 in all channels or in red; of green ink 0.1 less in green than in
# the others; of red ink 0.8 in green and blue.
_INK, _GREENER, _DEEP = (round(limit * _PER_UNIT) for limit in (0.6, 0.1, 0.8))
# The palest quarter of what covers the ground stands for one layer of cells.
_ONE_LAYER_QUANTILE = 0.25
# Between nuclei that fill most of a patch there is too little ground to count layers on: a clump
# of tumour must not pass for a thick area.
_LEAST_GROUND = 0.25
# A patch narrower than some cells, or of a scale that is not known, may show one pale cell's
# cytoplasm on the ground of another: single large cells would pass for a thick area.
_NARROWEST_MICRONS = 30.0
# Edges are judged at 0.5 um in windows of 12 px: wider than an edge, narrower than most cells.
# Windows lie 4 px apart along bands of 12 rows, every other of which is enough.
_EDGE_MPP = 0.5
_WINDOW_PX, _WINDOW_EVERY, _BAND_EVERY = 12, 4, 24
_WINDOW = np.ones((1, _WINDOW_PX), dtype=np.uint8)
_EDGE_CONTRAST = 0.10  # of the glass; below it lie noise and plasma
# Blur can only be told at a known scale. Photographs of unknown scale are taken for the finest
# that are common (100x, oil), so that a readable one is not called blurred.
_FINEST_MPP = 0.07


def measure_quality(
    pixels: Rgb, glass: NDArray[np.float64], patch_mpp: float | None
) -> dict[str, Float]:
    """Measure each patch by itself; see `MEASURES`.

    Parameters
    ----------
    pixels
        (n, p, p, 3) uint8, p at least 16.
    glass
        (3,) colour of empty glass on the slide, 0 to 255, or (n, 3) where each patch is of an
        image of its own; see `staining.glass_colour`.
    patch_mpp
        Microns per pixel of the patches, if known. Without it only strong blur is seen.

    Returns
    -------
    dict of (n,) float32

    Notes
    -----
    What they do not see. `cellularity` counts area, not cells, and a smudged nucleus like a whole
    one. `overlap` counts cells on the ground only: nuclei piled on nuclei are left to the reader,
    and a patch with less than a quarter of ground, narrower than 30 um or of unknown scale has
    overlap 0. `sharpness` judges edges: haze
    that lies over sharp edges passes, and so does blur below one pixel where `patch_mpp` is above
    0.5; without any edge it is 0 if anything is stained, else 1. `ink` in the colours of the stain
    passes, and so do bubbles but for their rim.
    """
    if len(pixels) == 0:
        return {measure: np.empty(0, dtype=np.float32) for measure in MEASURES}
    measured = _measure_colour(_absorbance(pixels, glass))
    if patch_mpp is None or patch_mpp * pixels.shape[1] < _NARROWEST_MICRONS:
        measured["overlap"][:] = 0
    measured["sharpness"] = _sharpness(pixels, glass, patch_mpp, measured["stained"])
    return {measure: measured[measure] for measure in MEASURES}


def _absorbance(pixels: Rgb, glass: NDArray[np.float64]) -> Absorbance:
    """Absorbance of red, green and blue (3, n, points) at a grid of pixels."""
    step = max(1, pixels.shape[1] // _POINTS)
    planes = np.ascontiguousarray(np.moveaxis(pixels[:, ::step, ::step], 3, 0))
    flat = planes.reshape(3, len(pixels), -1)
    exact = -np.log10(np.maximum(np.arange(256), 1) / glass[..., None])
    tables = np.clip(np.rint(exact * _PER_UNIT), 0, 255).astype(np.uint8)
    if glass.ndim == 1:
        looked_up = [cv2.LUT(plane, table) for plane, table in zip(flat, tables, strict=True)]
        return np.asarray(looked_up, dtype=np.uint8)
    return np.take_along_axis(np.moveaxis(tables, 1, 0), flat, axis=2)


def _measure_colour(absorbance: Absorbance) -> dict[str, Float]:
    red, green, blue = absorbance
    highest, lowest = absorbance.max(axis=0), absorbance.min(axis=0)
    stained = highest > _STAINED
    nuclear = stained & (red > blue) & ((red > _NUCLEAR_RED) | (red > cv2.add(blue, blue)))
    colourfulness = _total((highest - lowest) * stained) / _PER_UNIT
    return {
        "stained": _share(stained),
        "cellularity": _share(nuclear),
        "overlap": _layers(green, stained, nuclear),
        "saturation": (colourfulness / np.maximum(stained.sum(axis=1), 1)).astype(np.float32),
        "ink": _share(_inked(absorbance, highest, lowest)),
    }


def _share(marked: NDArray[np.bool_]) -> Float:
    return np.asarray(np.count_nonzero(marked, axis=1) / marked.shape[1], dtype=np.float32)


def _total(values: NDArray[np.uint8]) -> Float:
    """Sum of each row, (n,)."""
    return np.asarray(cv2.reduce(values, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32F)[:, 0])


def _layers(green: Absorbance, stained: NDArray[np.bool_], nuclear: NDArray[np.bool_]) -> Float:
    """Mean absorbance of the ground between nuclei, in units of one layer of red cells.

    The unit is taken from the patch, so that a deep stain is not taken for a thick area. Where no
    glass shows the palest is more than one layer; then the result is still about 1 or more.
    """
    ground = ~nuclear
    covered = ground & stained
    area, covers = (np.count_nonzero(part, axis=1) for part in (ground, covered))
    # What does not cover the ground becomes the deepest, and is sorted behind it.
    ordered = np.sort(green | np.where(covered, np.uint8(0), np.uint8(255)), axis=1, kind="stable")
    palest = (covers * _ONE_LAYER_QUANTILE).astype(np.int64)
    one_layer = np.take_along_axis(ordered, palest[:, None], axis=1)[:, 0]
    mean = _total(green * ground) / np.maximum(area, 1)
    layers = mean / np.maximum(one_layer, _STAINED)
    told = (covers > 0) & (area >= _LEAST_GROUND * green.shape[1])
    return np.where(told, layers, 0).astype(np.float32)


def _inked(absorbance: Absorbance, highest: Absorbance, lowest: Absorbance) -> NDArray[np.bool_]:
    """Mark colours that no Romanowsky stain gives: it absorbs green the most, or red without it.

    Black absorbs all light alike; green ink lets green pass, between red and blue; blue ink is
    bluer than the bluest cytoplasm; red ink absorbs no red at all, however much it absorbs else.
    """
    red, green, blue = absorbance
    black = (lowest > _INK) & (lowest > _times(highest, 0.75))
    green_ink = cv2.subtract(cv2.min(red, blue), green) > _GREENER
    blue_ink = (red > _INK) & (red > _times(green, 1.3)) & (blue < green)
    red_ink = (cv2.min(green, blue) > _DEEP) & (red < _times(green, 0.25))
    return np.asarray(black | green_ink | blue_ink | red_ink)


def _times(values: Absorbance, factor: float) -> Absorbance:
    table = np.clip(np.arange(256) * factor, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(values, table))


def _sharpness(
    pixels: Rgb, glass: NDArray[np.float64], patch_mpp: float | None, stained: Float
) -> Float:
    mpp = _FINEST_MPP if patch_mpp is None else patch_mpp
    largest = pixels.shape[1] // _WINDOW_PX
    shrinking = min(max(1, round(_EDGE_MPP / mpp)), max(1, largest))
    contrast, crossed = _edges(pixels, shrinking)
    judged = contrast > _EDGE_CONTRAST * glass[..., 1, None].astype(np.float32)
    over = np.where(judged, contrast, 0).sum(axis=1)
    share = np.where(judged, crossed, 0).sum(axis=1) / np.maximum(over, 1)
    # A soft edge crosses in proportion to the distance, here two pixels.
    share = share / min(2 * shrinking * mpp, 1.0)
    without_edge = np.where(stained > 0.01, 0.0, 1.0)
    return np.where(judged.any(axis=1), share, without_edge).astype(np.float32)


def _edges(pixels: Rgb, shrinking: int) -> tuple[Float, Float]:
    """Range of green light in each window of (n, windows), and the largest change over two pixels.

    All patches go through each step together: threads that read beside the encoder would else
    spend their time handing Python's lock to each other.
    """
    lines = _bands(pixels, shrinking)
    rows, bands, width = lines.shape
    contrast = cv2.subtract(
        cv2.dilate(lines.max(axis=0), _WINDOW), cv2.erode(lines.min(axis=0), _WINDOW)
    )
    # Differences of one long row are several times as fast; those over a border are left out.
    flat = lines.ravel()
    across = np.empty_like(flat)
    np.subtract(np.maximum(flat[2:], flat[:-2]), np.minimum(flat[2:], flat[:-2]), out=across[1:-1])
    change = across.reshape(lines.shape).max(axis=0)
    change[:, [0, -1]] = 0
    if rows > 2:
        down = cv2.absdiff(flat[2 * bands * width :], flat[: -2 * bands * width])
        np.maximum(change, down.reshape(rows - 2, bands, width).max(axis=0), out=change)
    largest = cv2.dilate(change, _WINDOW)
    windows = (part[:, ::_WINDOW_EVERY].reshape(len(pixels), -1) for part in (contrast, largest))
    judged, crossed = (part.astype(np.float32) for part in windows)
    return judged, crossed


def _bands(pixels: Rgb, shrinking: int) -> NDArray[np.uint8]:
    """Green light in bands of rows, (rows, n * bands, width), the bands of a patch together."""
    patches, side = len(pixels), pixels.shape[1] // shrinking
    green = pixels[..., 1]
    if shrinking > 1:
        whole = side * shrinking  # so that no pixel of the result is of two patches
        stack = np.ascontiguousarray(green[:, :whole, :whole]).reshape(patches * whole, whole)
        small = cv2.resize(stack, (side, patches * side), interpolation=cv2.INTER_AREA)
        green = np.asarray(small, dtype=np.uint8).reshape(patches, side, side)
    bands = max(1, side // _BAND_EVERY)
    if side >= _BAND_EVERY:
        cut = green[:, : bands * _BAND_EVERY].reshape(patches, bands, _BAND_EVERY, side)
    else:
        cut = green[:, None]
    by_row = np.moveaxis(cut[:, :, :_WINDOW_PX], 2, 0)
    return np.ascontiguousarray(by_row).reshape(by_row.shape[0], -1, side)
