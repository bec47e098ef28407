"""A study killed in the middle and started again ends as if nothing had happened."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest


def kill_when(command: list[str], reached: Callable[[], bool]) -> None:
    """Start `command` and send SIGKILL as soon as `reached`."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, "the command ended before it could be killed"
        assert time.monotonic() < deadline, "the command never came so far"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("stage", ["extraction", "training"])
def test_killed_study_resumes_to_the_same_scores(
    stage: str, finished_study, scores_only, cmil, cmil_command, tmp_path: Path
) -> None:
    study, undisturbed = finished_study
    out, settings = tmp_path / "out", scores_only(study)
    reached = {
        "extraction": lambda: len(list((out / "bags").glob("*.h5"))) >= 5,
        "training": lambda: any((out / "model" / "folds").glob("*/0.safetensors")),
    }[stage]
    command = cmil_command("run", settings, "--out", out, "--threads", 2)
    kill_when(command, reached)
    assert not (out / "predictions.csv").exists()
    kept = {p: p.stat().st_mtime_ns for p in (out / "bags").glob("*.h5")}
    done = cmil("run", settings, "--out", out, "--threads", 2)
    assert done.returncode == 0, done.stderr
    assert f"{24 - len(kept)} bags made, {len(kept)} up to date" in done.stderr
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    for name in ("predictions.csv", "model/model.safetensors", "explanations/summary.csv"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes()
