"""Attention files: where in a slide the score came from."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cmil.patient_bags import PatientBag
from cmil.prediction import PatientPrediction
from cohorts.files import whole_file
from cohorts.hdf5 import Hdf5Format, opened, read_array, read_rows

FORMAT = "cmil-attention"
FORMAT_VERSION = 1
ATTENTION = Hdf5Format("attention", FORMAT_VERSION, made_by="cmil predict")


@dataclass(frozen=True)
class SlideAttention:
    """What the model used of one slide's N patches.

    Attributes
    ----------
    coords
        (N, 2) int64, as in the slide's bag and in its order.
    attention
        (N,) softmax weights over all of the patient's instances, on all slides; None where the
        aggregator has no attention.
    contribution
        (N,) signed shares of the patient's logit.
    patient_instances
        Number of the patient's instances on all slides: uniform attention is one over it.
    """

    coords: NDArray[np.int64]
    attention: NDArray[np.float32] | None
    contribution: NDArray[np.float32]
    patient_instances: int

    @property
    def relative(self) -> NDArray[np.float32]:
        """(N,) attention as a multiple of uniform attention; contributions where there is none."""
        if self.attention is None:
            return self.contribution * self.patient_instances
        return self.attention * self.patient_instances


def attention_path(folder: Path, slide_id: str) -> Path:
    """Where the attention of a slide lies."""
    return folder / f"{slide_id}.h5"


def write_attention(
    folder: Path, bag: PatientBag, said: PatientPrediction, model_digest: str
) -> None:
    """Write one file for each of a patient's slides."""
    first = 0
    for slide_id, coords in bag.coords.items():
        part = slice(first, first + len(coords))
        first += len(coords)
        with (
            whole_file(attention_path(folder, slide_id)) as partial,
            h5py.File(partial, "w") as file,
        ):
            file.attrs["format"] = FORMAT
            file.attrs["format_version"] = FORMAT_VERSION
            file.attrs["slide_id"] = slide_id
            file.attrs["model_digest"] = model_digest
            file.attrs["patient_instances"] = len(bag)
            file.create_dataset("coords", data=coords, track_times=False)
            file.create_dataset("contribution", data=said.contributions[part], track_times=False)
            if said.attention is not None:
                file.create_dataset("attention", data=said.attention[part], track_times=False)


def read_attention(path: Path) -> SlideAttention:
    """Read a slide's attention.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or of a newer version.
    """
    with opened(path, ATTENTION) as file:
        coords = read_array(file, "coords", "i", ATTENTION).astype(np.int64)
        contribution = _values(file, "contribution", len(coords))
        attention = _values(file, "attention", len(coords)) if "attention" in file else None
        return SlideAttention(coords, attention, contribution, int(file.attrs["patient_instances"]))


def _values(file: h5py.File, name: str, rows: int) -> NDArray[np.float32]:
    return read_rows(file, name, "f", ATTENTION, rows).astype(np.float32, copy=False)
