"""What runs on each machine of a cluster: a worker that carries out fits, one at a time."""

import hashlib
import platform
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import torch

from cmil.instances import FileRows, MappedInstances
from cmil.training.devices import fitting_devices, product_type
from cmil.training.fits import Fit, carry_out
from cmil.training.fitting import Epoch
from cohorts.errors import AccessError
from cohorts.ray_crew import Member, refuse_other_release

Rows = Mapping[str, Sequence[FileRows]]
"""patient_id -> where the embeddings of its slides lie."""

_LIBRARIES = ("torch", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Proof:
    """What a worker has to find: the release of the command, and its bags.

    Attributes
    ----------
    ends
        Digest of the first and last embedding of every slide, in the order of the rows.
    """

    release: str
    ends: tuple[str, ...]


@dataclass(frozen=True)
class FitFiles:
    """The bytes of the files of a fit."""

    result: bytes
    weights: bytes | None


@dataclass(frozen=True)
class News:
    """What became of a fit since it was last asked about: epochs, and its files when it is done."""

    epochs: tuple[Epoch, ...]
    files: FitFiles | None


class FitWorker:
    """The bags, mapped where they lie, and the fits that are handed to it one by one.

    A fit goes on in a thread of its own, so that it can be asked about.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._bags: dict[str, MappedInstances] = {}
        self._device = torch.device("cpu")
        self._said: SimpleQueue[Epoch | FitFiles | Exception] = SimpleQueue()

    def join(self, proof: Proof) -> Member:
        """Show that this machine can do the work, and make ready for it.

        Raises
        ------
        SettingsError
            If another release of this package is installed.
        AccessError
            If it does not see the bags as the command does.
        """
        refuse_other_release(proof.release)
        refuse_other_bags(self._rows, proof)
        self._bags = {
            patient: MappedInstances([slide.mapped() for slide in slides])
            for patient, slides in self._rows.items()
        }
        self._device = fitting_devices()[0]
        return Member(socket.gethostname(), _computes_with(self._device))

    def carry_out(self, fit: Fit) -> News:
        """Begin a fit; wait for the first news of it."""
        Thread(target=self._work, args=(fit,), daemon=True).start()
        return self.go_on()

    def go_on(self) -> News:
        """Wait for more news of the fit; raise what it ended with, if that is an error."""
        said = [self._said.get()]
        while not self._said.empty():
            said.append(self._said.get())
        *_, last = said
        if isinstance(last, Exception):
            raise last
        epochs = tuple(one for one in said if isinstance(one, Epoch))
        return News(epochs, last if isinstance(last, FitFiles) else None)

    def _work(self, fit: Fit) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="cmil-fit-") as name:
                self._said.put(self._carried_out(fit, Path(name)))
        except Exception as error:  # whatever it is, the command raises it
            self._said.put(error)

    def _carried_out(self, fit: Fit, folder: Path) -> FitFiles:
        result = folder / "result.json"
        weights = folder / "weights.safetensors" if fit.weights else None
        here = replace(fit, result=result, weights=weights)
        carry_out(here, self._bags, self._device, self._said.put)
        return FitFiles(result.read_bytes(), weights.read_bytes() if weights else None)


def proof_of(rows: Rows) -> Proof:
    """Say what a worker has to find."""
    ends = (_ends(slide) for slides in rows.values() for slide in slides)
    return Proof(version("cmil"), tuple(ends))


def refuse_other_bags(rows: Rows, proof: Proof) -> None:
    """Make sure that this machine sees the bags that the command sees.

    Raises
    ------
    AccessError
        If a file is missing, or holds something else.
    """
    slides = (slide for of_patient in rows.values() for slide in of_patient)
    for slide, expected in zip(slides, proof.ends, strict=True):
        try:
            seen = _ends(slide) == expected
        except (OSError, ValueError):  # numpy's, of a file that is too short
            seen = False
        if not seen:
            raise AccessError(
                f'{socket.gethostname()} does not see "{slide.path}" as the command does; bags and '
                "model have to lie on a file system that all machines of the cluster share, under "
                "the same path"
            )


def _ends(slide: FileRows) -> str:
    return hashlib.sha256(slide.mapped()[[0, -1]].tobytes()).hexdigest()


def _computes_with(device: torch.device) -> str:
    """Name what decides the last digits of a model."""
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    instructions = torch.backends.cpu.get_cpu_capability()
    precision = str(product_type("auto", device)).removeprefix("torch.")
    software = (f"{library} {version(library)}" for library in _LIBRARIES)
    return ", ".join([*software, on, instructions, precision])
