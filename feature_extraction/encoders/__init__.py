"""Encoders: image to vector. `load_encoder` builds one by name; `Encoder` runs it.

`known_encoders` lists those with a name of their own. torch is loaded by what needs it only.
"""

from typing import TYPE_CHECKING, Any

from feature_extraction.encoders.presets import EncoderFacts, known_encoders

if TYPE_CHECKING:
    from feature_extraction.encoders.devices import best_device, describe_device
    from feature_extraction.encoders.encoder import Encoder
    from feature_extraction.encoders.registry import load_encoder

__all__ = [
    "Encoder",
    "EncoderFacts",
    "best_device",
    "describe_device",
    "known_encoders",
    "load_encoder",
]

_NEEDS_TORCH = {
    "Encoder": "encoder",
    "best_device": "devices",
    "describe_device": "devices",
    "load_encoder": "registry",
}


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_NEEDS_TORCH[name]}"), name)
