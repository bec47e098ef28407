"""The shift reference on disk, beside the model it is frozen with."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd

from cmil.referral.shift_reference import ShiftReference
from cmil.validation.decisions import Proportion
from cohorts.errors import FileFormatError
from cohorts.files import whole_file

FORMAT, FORMAT_VERSION = "cmil-shift", 1
_ARRAYS = ("mean", "scale", "descriptions")
_COUNTS = ("false_alarms_of_centres", "false_alarms_of_splits", "differs_in_splits")


def write_shift_reference(reference: ShiftReference, path: Path) -> None:
    """Write arrays as safetensors, everything else in its metadata."""
    from safetensors.numpy import save_file

    facts = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "too_far": reference.too_far,
        "note": reference.note,
        "of_centres": reference.of_centres.to_csv(index=False),
        **{name: [getattr(reference, name).k, getattr(reference, name).n] for name in _COUNTS},
    }
    arrays = {name: np.ascontiguousarray(getattr(reference, name)) for name in _ARRAYS}
    with whole_file(path) as partial:
        save_file(arrays, partial, metadata={"facts": json.dumps(facts, sort_keys=True)})


def read_shift_reference(path: Path) -> ShiftReference:
    """Read what `write_shift_reference` wrote.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, of another format, or of a newer version.
    """
    from safetensors import SafetensorError, safe_open

    from cmil.validation.decisions import wilson

    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            names = set(file.keys())
            arrays = {name: file.get_tensor(name) for name in _ARRAYS if name in names}
    except (FileNotFoundError, SafetensorError, json.JSONDecodeError) as error:
        raise FileFormatError(
            f'shift reference "{path}" is missing or damaged; lock anew'
        ) from error
    if facts.get("format") != FORMAT or set(arrays) != set(_ARRAYS):
        raise FileFormatError(f'"{path}" is no shift reference; lock the model anew')
    if facts["format_version"] > FORMAT_VERSION:
        raise FileFormatError(
            f'"{path}" has format version {facts["format_version"]}, this cMIL reads up to '
            f"{FORMAT_VERSION}; upgrade cmil"
        )
    counts: dict[str, Proportion] = {name: wilson(*facts[name]) for name in _COUNTS}
    return ShiftReference(
        mean=arrays["mean"],
        scale=arrays["scale"],
        descriptions=arrays["descriptions"],
        too_far=float(facts["too_far"]),
        of_centres=pd.read_csv(io.StringIO(facts["of_centres"]), dtype={"centre": str}),
        false_alarms_of_centres=counts["false_alarms_of_centres"],
        false_alarms_of_splits=counts["false_alarms_of_splits"],
        differs_in_splits=counts["differs_in_splits"],
        note=facts["note"],
    )
