"""Attention files: where in a slide the score came from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from cmil.patient_bags import PatientBag
from cmil.prediction import PatientPrediction
from cohorts.errors import FileFormatError
from cohorts.files import whole_file
from cohorts.hdf5 import Hdf5Format, opened, read_array, read_rows, title
from feature_extraction.bags import Bag

FORMAT = "cmil-attention"
FORMAT_VERSION = 1
# In the order of preference; the names are those of the datasets.
MapKind = Literal["attention", "contribution", "attribution"]
MAP_KINDS: tuple[MapKind, ...] = ("attention", "contribution", "attribution")

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
        (N,) signed shares of the patient's logit; None where the aggregator defines none.
    patient_instances
        Number of the patient's instances on all slides: uniform attention is one over it.
    attribution
        (N,) signed effects on the patient's logit, found by leaving instances out; only where
        there is neither attention nor contribution.
    """

    coords: NDArray[np.int64]
    attention: NDArray[np.float32] | None
    contribution: NDArray[np.float32] | None
    patient_instances: int
    attribution: NDArray[np.float32] | None = None

    @property
    def maps(self) -> dict[MapKind, NDArray[np.float32]]:
        """The maps that there are, each (N,), the one that is shown first."""
        values = {name: getattr(self, name) for name in MAP_KINDS}
        return {name: known for name, known in values.items() if known is not None}

    @property
    def kind(self) -> MapKind:
        """Which map is shown: attention, else contributions, else attribution."""
        return next(iter(self.maps))

    @property
    def relative(self) -> NDArray[np.float32]:
        """(N,) the map that is shown, times the patient's instances.

        Attention becomes a multiple of uniform attention.
        """
        return self.maps[self.kind] * self.patient_instances


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
            shares = {
                "contribution": said.contributions,
                "attention": said.attention,
                "attribution": said.attribution,
            }
            for name, values in shares.items():
                if values is not None:
                    file.create_dataset(name, data=values[part], track_times=False)


def read_attention(path: Path) -> SlideAttention:
    """Read a slide's attention.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or of a newer version.
    """
    with opened(path, ATTENTION) as file:
        coords = read_array(file, "coords", "i", ATTENTION).astype(np.int64)
        attention, contribution, attribution = (
            _values(file, name, len(coords)) for name in MAP_KINDS
        )
        if attention is None and contribution is None and attribution is None:
            raise FileFormatError(f'{title(file, ATTENTION)} has no dataset "attribution"')
        instances = int(file.attrs["patient_instances"])
        return SlideAttention(coords, attention, contribution, instances, attribution)


def attention_of_bag(folder: Path, slide_id: str, bag: Bag) -> SlideAttention:
    """Read the attention of a slide, and make sure that it is of this bag.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, of a newer version, or of another bag.
    """
    path = attention_path(folder, slide_id)
    looked = read_attention(path)
    if not np.array_equal(bag.coords, looked.coords):
        raise FileFormatError(f'attention "{path}" is of another bag; run cmil predict again')
    return looked


def _values(file: h5py.File, name: str, rows: int) -> NDArray[np.float32] | None:
    if name not in file:
        return None
    return read_rows(file, name, "f", ATTENTION, rows).astype(np.float32, copy=False)
