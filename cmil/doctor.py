"""`cmil doctor`: whether this machine, and a study's files, are ready for hours of work."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from cmil import machine_checks, study_checks
from cmil.machine_checks import Check
from cmil.study_settings import StudySettings, read_study_settings
from cohorts.errors import StudyError
from feature_extraction.settings import ExtractionSettings

# No weights to fetch, yet convolutions as those of real encoders have them.
_WITHOUT_STUDY = ExtractionSettings(encoder="untrained:timm:resnet18", mpp="native")


def examine(
    study: Path | None = None,
    out: Path | None = None,
    *,
    manifest: Path | None = None,
    weights: Path | None = None,
) -> list[Check]:
    """Try out everything an extraction rests on; needs no network and leaves nothing behind.

    Parameters
    ----------
    study
        A `study.toml`: its encoder, manifest and slides are tried too.
    out
        Folder that results will go to, there already or not.
    manifest, weights
        Take the place of the study's.
    """
    checks: list[Check] = []
    for check in (
        machine_checks.software,
        machine_checks.optional_software,
        machine_checks.processor,
        machine_checks.accelerator,
        machine_checks.memory,
        machine_checks.slide_library,
        machine_checks.dicom,
        machine_checks.codecs,
    ):
        checks += _tried(check.__name__.replace("_", " "), check)
    if out:
        checks += _tried("results", lambda: machine_checks.disk(out))
    settings: StudySettings | None = None
    if study:
        try:
            settings = read_study_settings(study, manifest=manifest, weights=weights)
        except StudyError as error:
            checks += [Check("settings", "problem", line) for line in str(error).splitlines()]
    if settings:
        checked = settings
        checks += _tried("manifest", lambda: study_checks.manifest(checked))
    extraction = settings.extraction if settings else _WITHOUT_STUDY
    checks += _tried("encoder", lambda: study_checks.encoder(extraction))
    return checks


def checks_as_text(checks: Sequence[Check]) -> str:
    """Give one line a check, and a sum in the last."""
    width = max(len(check.name) for check in checks)
    lines = [f"{check.state:<8} {check.name:<{width}}  {check.finding}" for check in checks]
    problems = sum(check.state == "problem" for check in checks)
    warnings = sum(check.state == "warning" for check in checks)
    return "\n".join([*lines, "", f"{problems} problems, {warnings} warnings"])


def checks_as_json(checks: Sequence[Check]) -> str:
    """List `name, state, finding` of each check."""
    return json.dumps([asdict(check) for check in checks], ensure_ascii=False)


def _tried(name: str, check: Callable[[], Sequence[Check]]) -> list[Check]:
    """Take what was not foreseen for a finding: the other checks still have something to say."""
    try:
        return list(check())
    except StudyError as error:
        return [Check(name, "problem", line) for line in str(error).splitlines()]
    except Exception as error:  # a machine may be broken in any way
        said = " ".join(str(error).split())
        return [Check(name, "problem", f"unexpected {type(error).__name__}: {said}")]
