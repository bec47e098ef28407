"""What an extraction needs of a machine, each tried out rather than looked up."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np

from cmil import __version__

State = Literal["ok", "warning", "problem"]

_GIB = 1 << 30
_LEAST_MEMORY = 4 * _GIB
_LEAST_DISK = 10 * 10**9
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
_OPTIONAL = {
    "openvino": ("openvino", "faster encoders on a processor"),
    "nncf": ("openvino", 'precision = "int8"'),
    "ray": ("ray", "--engine ray"),
}
# Compressions of slides and exported images; each has to decode what it encodes.
_CODECS = ("jpeg8", "jpeg2k", "png", "lzw", "deflate", "webp", "zstd")
_TAKES_LOCK = """
import sys
from filelock import FileLock, Timeout
try:
    with FileLock(sys.argv[1], timeout=0):
        print("taken")
except Timeout:
    print("refused")
"""


@dataclass(frozen=True)
class Check:
    """One thing that was tried.

    Attributes
    ----------
    finding
        What was found and, unless it is well, how to mend it.
    """

    name: str
    state: State
    finding: str


def software() -> list[Check]:
    """Say which versions run, and whether torch and torchvision fit each other."""
    from feature_extraction.encoders.torchvision_operators import declare_torchvision_operators

    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "h5py", "numpy"))
    running = f"cMIL {__version__}, Python {platform.python_version()}, {libraries}"
    checks = [Check("software", "ok", running)]
    try:
        declare_torchvision_operators()
        import torchvision
    except (ImportError, RuntimeError, OSError) as error:
        said = " ".join(str(error).split())
        mend = "install torch and torchvision of one release in one pip command"
        return [*checks, Check("torchvision", "problem", f"cannot be loaded ({said}); {mend}")]
    return [*checks, Check("torchvision", "ok", f"{torchvision.__version__} loads")]


def optional_software() -> list[Check]:
    """Say which optional packages there are."""
    checks = []
    for package, (extra, purpose) in _OPTIONAL.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            found = f"not installed; for {purpose}: pip install 'cmil[{extra}]'"
        checks.append(Check(package, "ok", found))
    return checks


def processor() -> list[Check]:
    """Compare the threads of the encoder with the cores that this process is given."""
    import torch

    from feature_extraction.reading_ahead import usable_cores

    given, there, threads = usable_cores(), os.cpu_count() or 1, torch.get_num_threads()
    quota = _quota_of_container()
    cores = min(given, quota) if quota else given
    limited = f" ({there} in the machine)" if cores < there else ""
    finding = f"{cores:g} cores for this process{limited}, {threads} threads"
    if threads > max(1, cores):
        mend = f"more threads than cores wait for each other: --threads {max(1, int(cores))}"
        return [Check("processor", "warning", f"{finding}; {mend}")]
    return [Check("processor", "ok", finding)]


def accelerator() -> list[Check]:
    """Say where encoders run, and in which numbers `precision = "auto"` tries them first."""
    import torch

    from feature_extraction.encoders import best_device, describe_device
    from feature_extraction.encoders.devices import native_precision

    device = best_device()
    precision = native_precision(device)
    why = "multiplied in hardware" if precision == "bfloat16" else "no bfloat16 in hardware"
    finding = f"{describe_device(device)}: {precision} first ({why})"
    if device.type == "cpu" and _NVIDIA_DRIVER.exists():
        mend = "install the torch of its CUDA version, see https://pytorch.org"
        unseen = f"a GPU's driver is here, but torch {torch.__version__} sees none; {mend}"
        return [Check("device", "warning", f"{finding}; {unseen}")]
    return [Check("device", "ok", finding)]


def _quota_of_container() -> float | None:
    """Cores that the container's quota amounts to, in control groups of version 2."""
    stated = _stated_by_container("cpu.max").split()
    if len(stated) != 2 or not all(part.isdecimal() for part in stated):
        return None
    return int(stated[0]) / int(stated[1])


def _stated_by_container(name: str) -> str:
    """Read a limit of this process's control group; empty where there is none."""
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").rpartition("::")[2].strip()
        for folder in (f"/sys/fs/cgroup{own}", "/sys/fs/cgroup"):
            if (file := Path(folder) / name).is_file():
                return file.read_text(encoding="utf-8").strip()
    except OSError:
        pass  # no Linux, or not ours to read: then nothing is known of a limit
    return ""


def memory() -> list[Check]:
    """Say how much memory is left for this process, its container's limit included."""
    available = _available_memory()
    if available is None:
        return [Check("memory", "ok", "this system does not say how much is available")]
    finding = f"{available / _GIB:.1f} GiB available"
    if available < _LEAST_MEMORY:
        mend = "close other programs, or ask the scheduler for more (Slurm: --mem 16G)"
        return [Check("memory", "warning", f"{finding}; {mend}")]
    return [Check("memory", "ok", finding)]


def _available_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    stated = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    if not stated:
        return None
    left = int(stated[0]) * 1024
    limit, used = _stated_by_container("memory.max"), _stated_by_container("memory.current")
    if limit.isdecimal() and used.isdecimal():
        left = min(left, max(0, int(limit) - int(used)))
    return left


def slide_library() -> list[Check]:
    """Write a small slide, and read it with OpenSlide."""
    import openslide

    from cohorts.pyramid_tiff import write_pyramid

    image = np.full((512, 640, 3), (200, 120, 160), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "drawn.tif"
        write_pyramid(path, image, mpp=0.25, quality=95)
        with openslide.OpenSlide(path) as slide:
            read = np.asarray(slide.read_region((64, 64), 0, (64, 64)))[..., :3]
            whole = slide.dimensions == (640, 512)
    name = f"OpenSlide {openslide.__library_version__}"
    if not whole or np.abs(read.astype(int) - image[0, 0]).max() > 8:
        mend = "install its own build: pip install --force-reinstall openslide-bin"
        return [Check("slides", "problem", f"{name} reads other pixels than were written; {mend}")]
    return [Check("slides", "ok", f"{name} reads a slide drawn here")]


def dicom() -> list[Check]:
    """See that DICOM slides are read by OpenSlide 4, and by wsidicom where that refuses."""
    import openslide

    import feature_extraction.sources.dicom_source  # noqa: F401 that it loads is what is tried

    own = f"wsidicom {version('wsidicom')}"
    if int(openslide.__library_version__.partition(".")[0]) >= 4:
        return [Check("DICOM", "ok", f"read by OpenSlide, and by {own} where that refuses")]
    mend = "OpenSlide 4 reads them faster: pip install --upgrade openslide-bin"
    return [Check("DICOM", "warning", f"read by {own} alone; {mend}")]


def codecs() -> list[Check]:
    """Encode and decode a few pixels with each compression that images come in."""
    import imagecodecs

    pixels = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    failing = []
    for name in _CODECS:
        encode, decode = (
            getattr(imagecodecs, f"{name}_encode"),
            getattr(imagecodecs, f"{name}_decode"),
        )
        try:
            decode(encode(pixels))
        except (ImportError, RuntimeError, ValueError) as error:
            failing.append(f"{name} ({' '.join(str(error).split())})")
    found = f"imagecodecs {imagecodecs.__version__}"
    if failing:
        mend = "images of that kind will fail: pip install --upgrade imagecodecs"
        return [Check("codecs", "warning", f"{found} lacks {', '.join(failing)}; {mend}")]
    return [Check("codecs", "ok", f"{found}: {', '.join(_CODECS)}")]


def disk(out: Path) -> list[Check]:
    """Try what bags need of the file system of `out`: to write, to rename over, to lock."""
    from feature_extraction.forecast import existing_folder

    folder = existing_folder(out)
    if not folder.is_dir():
        return [Check("results", "problem", f'"{folder}" is a file; give --out a folder')]
    try:
        with tempfile.TemporaryDirectory(prefix=".cmil-doctor-", dir=folder) as drawn:
            return [*_writing(Path(drawn), folder), _locking(Path(drawn)), _free(folder)]
    except OSError as error:
        reason = error.strerror or str(error)
        mend = "check its permissions and quota, or give another --out"
        return [Check("results", "problem", f'"{folder}" cannot be written to ({reason}); {mend}')]


def _writing(drawn: Path, folder: Path) -> Sequence[Check]:
    """Write a bag, and another over it, as extraction does."""
    from cohorts.errors import FileFormatError
    from feature_extraction.bags import Bag, read_bag, write_bag

    path, coords = drawn / "tried.h5", np.zeros((2, 2), dtype=np.int64)
    try:
        for value in (1, 2):
            write_bag(path, Bag(np.full((2, 3), value, dtype=np.float16), coords))
        right = bool((read_bag(path).features == 2).all()) and len(list(drawn.iterdir())) == 1
    except FileFormatError as error:
        return [Check("results", "problem", f"a bag written there cannot be read: {error}")]
    if not right:
        mend = "choose a folder on a local disk or another share"
        return [Check("results", "problem", f'"{folder}" gives back an older bag; {mend}')]
    return [Check("results", "ok", f'bags can be written and replaced in "{folder}"')]


def _locking(drawn: Path) -> Check:
    """Hold a lock here while another process asks for it, as shards on one folder do."""
    from filelock import FileLock

    path = drawn / "tried.lock"
    mend = "mount the share with locks, or give --out a folder on another disk"
    try:
        with FileLock(path, timeout=5):
            other = subprocess.run(  # noqa: S603 our own interpreter, our own text
                [sys.executable, "-c", _TAKES_LOCK, str(path)],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
    except (OSError, NotImplementedError, TimeoutError, subprocess.TimeoutExpired) as error:
        return Check("locks", "problem", f"cannot be tried ({error}); {mend}")
    if other.stdout.strip() == "refused":
        return Check("locks", "ok", "a second process is kept out")
    return Check("locks", "problem", f"a second process is not kept out; {mend}")


def _free(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    finding = f"{free / 1e9:,.1f} GB free"
    if free < _LEAST_DISK:
        mend = "see what bags take with cmil extract --dry-run, or give another --out"
        return Check("disk", "warning", f"{finding}; {mend}")
    return Check("disk", "ok", finding)
