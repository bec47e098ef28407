"""Options that commands share, and what they do with them."""

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cmil.machines import Machines
    from cmil.study import Study

StudyFile = Annotated[
    Path, typer.Argument(metavar="STUDY.toml", help="The study's settings.", show_default=False)
]

StudyUnlessLocked = Annotated[
    Path | None,
    typer.Argument(
        metavar="[STUDY.toml]",
        help="The study's settings; with --model, the lock has them.",
        show_default=False,
    ),
]
Out = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder of all results.", show_default=False)
]

Manifest = Annotated[
    Path | None,
    typer.Option("--cohort", metavar="CSV", help="Manifest to read instead of the study's."),
]

Weights = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Encoder weights, .safetensors or .pth, not the study's."),
]

Bags = Annotated[Path | None, typer.Option(metavar="DIR", help="Bags made elsewhere.")]

Model = Annotated[Path | None, typer.Option(metavar="DIR", help="Model bundle made elsewhere.")]

Predictions = Annotated[
    Path | None, typer.Option(metavar="CSV", help="Predictions made elsewhere.")
]

Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processor threads; without it, all. The same number of threads "
        "gives the same result.",
    ),
]


class Engine(StrEnum):
    """Where encoder and trainings run."""

    LOCAL = "local"
    RAY = "ray"


Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Ray cluster to join; without it, one is started."),
]


class MapFormat(StrEnum):
    """How maps leave for other programs."""

    GEOJSON = "geojson"
    OME_TIFF = "ome-tiff"


class BagLayout(StrEnum):
    """Whose readers find exported bags."""

    TRIDENT = "trident"
    CLAM = "clam"


class FeatureType(StrEnum):
    """Of the numbers in exported bags."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def open_study(
    study: Path,
    out: Path,
    manifest: Path | None = None,
    weights: Path | None = None,
    threads: int | None = None,
    max_patches: int | None = None,
    **elsewhere: Path | None,
) -> "Study":
    """Read the settings and lay the study out in `out`, or take over what was made elsewhere."""
    from cmil.study import Study
    from cmil.study_settings import read_study_settings

    use_threads(threads)
    settings = read_study_settings(
        study, manifest=manifest, weights=weights, max_patches=max_patches
    )
    return Study.at(out, settings, **elsewhere)


def machines_of(engine: Engine, address: str | None) -> "Machines":
    """Say where encoder and trainings run; refuse an address without a cluster."""
    from cmil.machines import Machines

    refuse_alone("--address", address is not None, "--engine ray", engine is Engine.RAY)
    return Machines(engine.value, address)


def refuse_together(option: str, given: bool, others: Mapping[str, object]) -> None:
    """Refuse an option beside others that contradict it."""
    from cohorts.errors import SettingsError

    clashing = [other for other, value in others.items() if value]
    if given and clashing:
        raise SettingsError(f"{option} does not go with {clashing[0]}; drop one")


def refuse_alone(option: str, given: bool, of: str, of_given: bool) -> None:
    """Refuse an option without the one it belongs to."""
    from cohorts.errors import SettingsError

    if given and not of_given:
        raise SettingsError(f"{option} is for {of}; add it, or drop {option}")


def use_threads(threads: int | None) -> None:
    """Bound the processor threads of torch and OpenCV."""
    if threads is None:
        return
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def exit_if_failed(failed: Sequence[str], verb: str = "failed") -> None:
    """End with exit code 1 if slides have failed, naming each."""
    if failed:
        print(f"{len(failed)} slides {verb}:", file=sys.stderr)
        for reason in failed:
            print(f"error: {reason}", file=sys.stderr)
        raise typer.Exit(1)
