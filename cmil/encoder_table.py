"""`cmil encoders`: what an encoder is, and under which licence, before a study names it."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from feature_extraction.encoders import EncoderFacts

_MORE = (
    "Also: timm:NAME, torchvision:NAME, hf-hub:OWNER/NAME, and untrained: before any of these.\n"
    "A local file of weights takes the place of a download: --weights FILE."
)


def encoders_as_text(encoders: Sequence[EncoderFacts]) -> str:
    """Write a table, and what other names there are."""
    titles = ("encoder", "vector", "patch", "output", "licence", "weights")
    rows = [titles, *(_row(encoder) for encoder in encoders)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    ]
    return "\n".join([*(line.rstrip() for line in lines), "", _MORE])


def encoders_as_json(encoders: Sequence[EncoderFacts]) -> str:
    """Write all facts, normalisation and network included."""
    return json.dumps([asdict(encoder) for encoder in encoders], indent=2)


def _row(encoder: EncoderFacts) -> tuple[str, ...]:
    return (
        encoder.name,
        str(encoder.dimension),
        f"{encoder.input_px} px" if encoder.input_px else "any",
        encoder.output,
        f"{encoder.licence}, to be accepted" if encoder.gated else encoder.licence,
        encoder.source or "none needed",
    )
