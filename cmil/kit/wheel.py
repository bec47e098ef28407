"""The project's own wheel, made of the installation that runs: no build tools, no network."""

import base64
import hashlib
from collections.abc import Iterator
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

from cmil import __version__
from cmil.kit.archive import write_archive

_PACKAGES = ("cmil", "cohorts", "feature_extraction", "survival")
_WHEEL = "Wheel-Version: 1.0\nGenerator: cmil\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
WHEEL_NAME = f"cmil-{__version__}-py3-none-any.whl"


def write_wheel(folder: Path) -> Path:
    """Write the wheel of this release into `folder`, as PEP 427 lays it out; the same every time.

    Returns
    -------
    Its path.
    """
    members = sorted(_members())
    record = "".join(
        f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in members
    )
    info = f"cmil-{__version__}.dist-info"
    record += f"{info}/RECORD,,\n"
    path = folder / WHEEL_NAME
    write_archive(path, [*members, (f"{info}/RECORD", record.encode())])
    return path


def _members() -> Iterator[tuple[str, bytes]]:
    for package in _PACKAGES:
        spec = find_spec(package)
        for root in map(Path, (spec and spec.submodule_search_locations) or ()):
            for path in sorted(root.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                    yield f"{package}/{path.relative_to(root).as_posix()}", path.read_bytes()
    installed = distribution("cmil")
    info = f"cmil-{__version__}.dist-info"
    yield f"{info}/WHEEL", _WHEEL.encode()
    for name in ("METADATA", "entry_points.txt", "licenses/LICENSE"):
        text = installed.read_text(name)
        if text is not None:
            yield f"{info}/{name}", text.encode()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
