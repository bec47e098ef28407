"""Encoders: image to vector. `load_encoder` builds one by name; `Encoder` runs it."""

from feature_extraction.encoders.encoder import Encoder, best_device, describe_device
from feature_extraction.encoders.registry import load_encoder

__all__ = ["Encoder", "best_device", "describe_device", "load_encoder"]
