"""The forecast of an extraction as a short text for a terminal."""

import math

import pandas as pd

from feature_extraction.forecast import Forecast

_SHARDS = 8
_WORTH_SHARING = 2.0  # hours


def forecast_text(forecast: Forecast, *, shared_out: bool = False) -> str:
    """Lay out what is to be expected per centre, what is there, and what will fail.

    Parameters
    ----------
    forecast
        What was found.
    shared_out
        Whether it is already one shard of several.
    """
    centres = forecast.by_centre()
    columns = ["centre", "slides", "up_to_date", "to_filter", "to_make", "copies", "failing"]
    always = {"centre", "slides", "up_to_date", "to_make"}
    shown = centres[[c for c in columns if c in always or centres[c].any()]].copy()
    total = centres.iloc[-1]
    shown["patches"] = centres["patches"].map("{:,}".format)
    shown["time"] = centres["hours"].map(duration)
    shown["bags"] = (centres["gigabytes"] * 1e9).map(_size)
    shown.columns = shown.columns.str.replace("_", " ")
    lines = [shown.to_string(index=False), "", *_explained(forecast, total)]
    hours = float(total["hours"])
    if hours > _WORTH_SHARING and not shared_out:
        lines.append(
            f"With --shard I/{_SHARDS} on {_SHARDS} such machines: about {hours / _SHARDS:.1f} h."
        )
    lines.append(_disk(forecast))
    return "\n".join(lines)


def _explained(forecast: Forecast, total: pd.Series) -> list[str]:
    lines = []
    if forecast.slides["estimated"].any():
        number = int(forecast.slides["estimated"].sum())
        lines.append(f"Estimated from a sample of images: the patches of {number} slides.")
    if forecast.rates:
        rates = forecast.rates
        reading = "" if rates.reading is None else f", reads {rates.reading:,.1f}"
        lines.append(
            f"This machine embeds {rates.embedding:,.1f} patches a second{reading}, and does both "
            f"at {rates.together:,.1f}; it was timed as it is loaded now."
        )
        read = _size(forecast.slides["image_bytes"].sum())
        lines.append(f"Also, all {read} of these images are read once for their checksums.")
    if not total["to_make"]:
        lines.append("No patch is to be embedded.")
    return lines


def _disk(forecast: Forecast) -> str:
    needed, free = _size(forecast.needed_bytes), _size(forecast.free_bytes)
    if forecast.needed_bytes <= forecast.free_bytes:
        return f"Disk: {needed} needed at most, {free} free."
    return (
        f"warning: {needed} are needed at most and {free} are free; choose another --out, fewer "
        'patches with --max-patches, or storage = "float16"'
    )


def duration(hours: float) -> str:
    """Write a time as one would say it."""
    seconds = hours * 3600
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{hours:.1f} h"


def _size(count: float) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"
