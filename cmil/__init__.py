"""From bags to a frozen metastasis score: attention MIL, its bundle, validation and heatmaps.

`train`, `predict` and `validate` are the stages; `run_study` runs all of them from a `study.toml`.
Each is imported from its own module, so that importing `cmil` stays instant.
"""

__version__ = "0.1.0"
