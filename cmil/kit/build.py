"""`cmil kit build`: the locked bundle, how to install, and what is needed, in one file."""

import tempfile
from importlib.resources import files
from pathlib import Path

from cmil import __version__
from cmil.bundle import FACTS, WEIGHTS, facts_text, read_bundle
from cmil.kit.archive import write_archive
from cmil.kit.wheel import WHEEL_NAME, write_wheel
from cmil.protocol.freeze import without_ids
from cmil.protocol.lock import LOCK, Lock, verify_lock
from cmil.study import refuse_other_task
from cohorts.endpoints import Endpoint
from cohorts.errors import SettingsError
from cohorts.files import digest_of_file, digest_of_text, json_text

FORMAT, VERSION = "cmil-kit", 1
FACTS_OF_KIT = "kit.json"
MODEL_FILES = (f"model/{LOCK}", f"model/{FACTS}", f"model/{WEIGHTS}")
_NEEDS_NO_WEIGHTS = "stain-filters"


def build_kit(model: Path, out: Path, wheels: Path | None = None) -> str:
    """Write a locked bundle as one file that an outside centre installs from and runs.

    The kit holds no id of a patient: its `model.json` has salted digests in their place. It holds
    cMIL's own wheel, and others only if they are given.

    Parameters
    ----------
    model
        A locked bundle.
    out
        `.zip` or `.pyz`; `python OUT --into DIR` installs from it.
    wheels
        Folder of wheels of everything cMIL depends on, for the centre's system.

    Returns
    -------
    What the centre needs besides, to be printed.

    Raises
    ------
    SettingsError
        If `out` is named otherwise, there are no wheels in the folder, or the model is not of a
        binary label.
    FileFormatError
        If the bundle is not locked or was changed.
    """
    if out.suffix not in {".zip", ".pyz"}:
        raise SettingsError(f'--out "{out}" must end in .zip or .pyz')
    packed = sorted(wheels.glob("*.whl")) if wheels else []
    if wheels and not packed:
        raise SettingsError(f'--wheels "{wheels}" holds no wheel; pip download -d fills it')
    lock = verify_lock(model)
    facts = read_bundle(model).facts
    refuse_other_task(facts.mil.task, "kit build")
    is_travelling = digest_of_file(model / FACTS) == lock.files[FACTS][-1]
    facts = facts if is_travelling else without_ids(facts, lock.development.salt)
    needs = needs_of(lock, with_wheels=bool(wheels))
    texts = {
        "__main__.py": files("cmil.kit").joinpath("installer.py").read_text(encoding="utf-8"),
        "README.txt": _readme(lock, out.name, needs),
        "cohort.csv": ",".join(_columns(lock)) + "\n",
        f"model/{FACTS}": facts_text(facts),
        f"model/{LOCK}": (model / LOCK).read_text(encoding="utf-8"),
    }
    with tempfile.TemporaryDirectory() as made:
        own = write_wheel(Path(made))
        paths = {f"model/{WEIGHTS}": model / WEIGHTS}
        paths |= {f"wheels/{path.name}": path for path in packed}
        paths[f"wheels/{WHEEL_NAME}"] = own
        digests = {name: digest_of_text(text) for name, text in texts.items()}
        digests |= {name: digest_of_file(path) for name, path in paths.items()}
        kit = {
            "format": FORMAT,
            "format_version": VERSION,
            "software": __version__,
            "lock": lock.digest,
            "files": dict(sorted(digests.items())),
        }
        members = [(name, text.encode()) for name, text in sorted(texts.items())]
        write_archive(
            out,
            [*members, (FACTS_OF_KIT, json_text(kit).encode()), *sorted(paths.items())],
        )
    return needs


def needs_of(lock: Lock, *, with_wheels: bool) -> str:
    """Say what a centre needs besides the kit."""
    encoder = lock.settings["extraction"]["encoder"]
    lines = ["Python 3.11 or newer"]
    if not with_wheels:
        lines.append("wheels of what cMIL depends on, or a package index; the kit has cMIL's alone")
    if encoder != _NEEDS_NO_WEIGHTS:
        digest = lock.encoding.get("encoder_digest", "not stated")
        lines.append(f"the weights of encoder {encoder} (digest {digest}), given with --weights")
    lines.append(f"a manifest with the columns {', '.join(_columns(lock))}")
    return "\n".join(f"- {line}" for line in lines)


def _columns(lock: Lock) -> list[str]:
    endpoints = map(Endpoint.model_validate, lock.settings["cohort"]["endpoints"].values())
    outcomes = dict.fromkeys(name for endpoint in endpoints for name in endpoint.columns)
    return ["patient_id", "slide_id", "path", "centre", "mpp", lock.label, *outcomes]


def _readme(lock: Lock, name: str, needs: str) -> str:
    return f"""cMIL validation kit. Research use only.

Lock {lock.digest}
Compare it with the one you were told: a kit with another lock is another model.

What is needed:
{needs}

1. Install, without a network:  python {name} --into cmil-kit
2. Fill in a manifest; cohort.csv in this file has its columns. Outcomes may be left out.
3. Run:  cmil-kit/bin/cmil kit run {name} cohort.csv --out results
   (with --aggregates-only, counts alone, those below 5 suppressed)
4. Look at results/results.json, and send it. It holds all that is asked for: scores by pseudonym
   or aggregates, counts of slides, and the log.

results/private stays with you: images, embeddings, ids, and the secret of the pseudonyms.
"""
