"""A stage and its `run.json`: what went in, with which settings, and whether it is still true."""

import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cmil import __version__
from cohorts.files import digest_of, digest_of_file, read_json, write_json

_LIBRARIES = ("numpy", "pandas", "torch", "timm", "h5py", "lifelines", "scikit-learn")


@dataclass(frozen=True)
class Stage:
    """One stage of a study as it is asked for now.

    Attributes
    ----------
    name
        As on the command line.
    root
        The study's output folder, to which the names in the record are relative.
    record
        The `run.json` beside its output.
    inputs
        Digests of everything it reads.
    settings
        The settings that decide its result.
    seed
        None where nothing is random.
    on_gpu
        Whether it computes on the GPU where there is one; aggregators stay on the CPU.
    """

    name: str
    root: Path
    record: Path
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    seed: int | None = None
    on_gpu: bool = False

    @property
    def fingerprint(self) -> str:
        """Digest of all that decides the stage's output."""
        return digest_of(
            [__version__, self.name, dict(self.inputs), dict(self.settings), self.seed]
        )

    def is_done(self) -> bool:
        """Whether the output on disk is what this stage would make, whole and unchanged."""
        if not self.record.exists():
            return False
        record = read_json(self.record)
        if not isinstance(record, dict) or record.get("fingerprint") != self.fingerprint:
            return False
        return all(
            (self.root / name).is_file() and digest_of_file(self.root / name) == digest
            for name, digest in record["outputs"].items()
        )

    @contextmanager
    def recorded(self, outputs: Callable[[], Sequence[Path]]) -> Iterator[None]:
        """Time the work inside, then write `run.json` with the digests of `outputs()`.

        A stage that is interrupted or fails leaves no record, and so is not taken for done.
        """
        self.record.unlink(missing_ok=True)
        started = time.monotonic()
        yield
        made = {
            path.relative_to(self.root).as_posix(): digest_of_file(path)
            for path in sorted(outputs())
        }
        libraries = {library: version(library) for library in _LIBRARIES}
        write_json(
            self.record,
            {
                "stage": self.name,
                "fingerprint": self.fingerprint,
                "inputs": dict(self.inputs),
                "settings": dict(self.settings),
                "seed": self.seed,
                "outputs": made,
                "software": {"cmil": __version__, "python": platform.python_version(), **libraries},
                "machine": describe_machine(on_gpu=self.on_gpu),
                "wall_seconds": round(time.monotonic() - started, 1),
                "peak_memory_mib": peak_memory_mib(),
            },
        )


def describe_machine(*, on_gpu: bool = False) -> str:
    """Name processor and threads and, for work that goes there, the GPU."""
    import torch

    from feature_extraction.encoders import best_device, describe_device

    device = best_device() if on_gpu else torch.device("cpu")
    return f"{platform.machine()}, {describe_device(device)}"


def peak_memory_mib() -> int | None:
    """Largest resident memory of this process so far, in MiB; None where the system keeps none."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024) if sys.platform == "darwin" else peak // 1024
