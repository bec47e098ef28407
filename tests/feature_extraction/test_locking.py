"""Several processes on one folder of bags, as the tasks of an array job are."""

import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock


def bags_in(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.h5")}


def attempts_in(folder: Path) -> list[int]:
    return pd.read_csv(folder / "slides.csv")["attempts"].tolist()


def unfinished_in(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


def holds_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open."""

    def targets() -> Iterator[str]:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                yield str(entry.readlink())
            except FileNotFoundError:
                continue  # closed since it was listed

    return str(path) in targets()


@pytest.fixture
def alone(small_study, cmil_here, tmp_path: Path) -> Path:
    """The bags that one process makes of the study, undisturbed."""
    done = cmil_here("extract", small_study.settings, "--out", tmp_path / "alone", "--threads", 1)
    assert done.returncode == 0, done.stderr
    return tmp_path / "alone" / "bags"


def test_two_processes_share_a_folder(small_study, alone, cmil_command, tmp_path: Path) -> None:
    out = tmp_path / "shared"
    command = cmil_command("extract", small_study.settings, "--out", out, "--threads", 1)
    pair = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], said
    assert bags_in(out / "bags") == bags_in(alone)
    assert attempts_in(out / "bags") == [1] * 24
    assert not unfinished_in(out)


def test_a_process_waits_for_the_slide_of_another(
    small_study, cmil_command, tmp_path: Path
) -> None:
    bags = tmp_path / "out" / "bags"
    (bags / "state").mkdir(parents=True)
    begun = bags / ".A00-1.h5.0123abcd.part"
    begun.write_bytes(b"half")
    command = cmil_command("extract", small_study.settings, "--out", bags.parent, "--threads", 1)
    with FileLock(bags / "state" / "A00-1.lock"):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while len(bags_in(bags)) < 23:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        time.sleep(0.5)
        assert process.poll() is None
        assert begun.exists()
        assert "A00-1.h5" not in bags_in(bags)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0, said
    assert len(bags_in(bags)) == 24
    assert not unfinished_in(bags)


def test_a_killed_process_leaves_no_lock_and_no_unfinished_file(
    small_study, cmil_here, cmil_command, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    large = np.repeat(np.repeat(rng.integers(60, 240, (200, 300, 3)), 10, 0), 10, 1)
    cv2.imwrite(str(small_study.images_of("A00")[0]), large.astype(np.uint8))
    out = tmp_path / "out"
    bags, lock = out / "bags", out / "bags" / "state" / "A00-1.lock"
    arguments = "extract", small_study.settings, "--out", out, "--threads", 1
    process = subprocess.Popen(cmil_command(*arguments), stderr=subprocess.DEVNULL)
    while not holds_open(process.pid, lock):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not bags_in(bags), "it was to be killed at its first slide"
    with FileLock(lock, timeout=0):  # the system took it from the dead
        # As if the kill had come while the bag, or what is noted of it, was written.
        for name in (".A00-1.h5.0123abcd.part", "state/.A00-1.json.0123abcd.part"):
            (bags / name).write_bytes(b"half")
    done = cmil_here(*arguments)
    assert done.returncode == 0, done.stderr
    assert not unfinished_in(out)
    assert not [path for path in bags.iterdir() if path.is_file() and not known(path)]
    assert attempts_in(bags) == [1] * 24


def known(path: Path) -> bool:
    return path.suffix == ".h5" or path.name in {"slides.csv", "run.json"}
