"""Install cMIL from the validation kit, without a network: `python kit.zip --into DIR`.

This file is the kit's `__main__.py`. It uses Python's own library only.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

OLDEST = (3, 11)


def install(kit: Path, into: Path, wheels: Path | None) -> int:
    """Make a virtual environment in `into` and install cMIL there; give an exit code."""
    with ZipFile(kit) as archive, tempfile.TemporaryDirectory() as unpacked:
        facts = json.loads(archive.read("kit.json"))
        version = facts["software"]
        for name in archive.namelist():
            if name.startswith("wheels/") and name.endswith(".whl"):
                content = archive.read(name)
                if hashlib.sha256(content).hexdigest() != facts["files"].get(name):
                    print(f"{name} of {kit} was changed; get the kit again", file=sys.stderr)
                    return 1
                (Path(unpacked) / Path(name).name).write_bytes(content)
        venv.create(into, with_pip=True)
        python = into / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        command = [str(python), "-m", "pip", "install", "--no-index", "--find-links", unpacked]
        command += ["--find-links", str(wheels)] if wheels else []
        done = subprocess.run([*command, f"cmil=={version}"], check=False)  # noqa: S603 own words
    if done.returncode:
        here = f"{sys.platform}, Python {sys.version_info[0]}.{sys.version_info[1]}"
        print(
            "The kit lacks wheels of what cMIL needs, or they are of another system. With a "
            f"network, on a machine like this one ({here}), unpack the kit and run\n"
            f"    pip download wheels/cmil-{version}-py3-none-any.whl -d needed\n"
            f"then bring the folder here and run\n    python {kit} --into {into} --wheels needed",
            file=sys.stderr,
        )
        return 1
    print(f"installed; next: {python.parent / 'cmil'} kit run {kit} cohort.csv --out results")
    return 0


def main(arguments: Sequence[str]) -> int:
    """Parse the command line; give an exit code."""
    parser = argparse.ArgumentParser(description="Install cMIL from this validation kit.")
    parser.add_argument("--into", type=Path, required=True, help="folder of the environment")
    parser.add_argument("--wheels", type=Path, help="folder of further wheels")
    parsed = parser.parse_args(arguments)
    if sys.version_info[:2] < OLDEST:
        print(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed", file=sys.stderr)
        return 1
    return install(Path(sys.argv[0]).resolve(), parsed.into, parsed.wheels)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
