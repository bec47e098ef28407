"""On a real cluster of Ray, on two processors of this machine."""

import importlib.util
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from PIL import Image

from cohorts.errors import EncoderError, SettingsError
from cohorts.manifest import Cohort, Slide, SourceKind
from feature_extraction.extract import extract
from feature_extraction.ray_engine import extract_on_ray
from feature_extraction.slide_job import Extraction, SlideJob
from feature_extraction.slide_record import SlideOutcome

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason='needs Ray: pip install "cmil[ray]"'
)

Draw = Callable[..., np.ndarray]


@pytest.fixture
def cohort(tmp_path: Path, smear: Draw, pyramid: Callable[..., Path]) -> Cohort:
    """Six slides, a folder of fields, and a file that is no image."""
    paths = [pyramid(smear(420, 260, seed, cells=60), f"s{seed}.tif") for seed in range(6)]
    (tmp_path / "fields").mkdir()
    for seed in range(3):
        Image.fromarray(smear(96, 80, seed)).save(tmp_path / "fields" / f"{seed}.png")
    (tmp_path / "broken.tif").write_bytes(b"II*\0 no image")
    return cohort_of([*paths, tmp_path / "fields", tmp_path / "broken.tif"])


def cohort_of(paths: list[Path]) -> Cohort:
    slides = tuple(
        Slide(
            path.stem,
            f"patient of {path.stem}",
            path,
            SourceKind.SLIDE if path.suffix else SourceKind.FOLDER,
            None,
            row,
        )
        for row, path in enumerate(paths, start=2)
    )
    index = pd.Index([slide.patient_id for slide in slides], name="patient_id")
    return Cohort(slides, pd.DataFrame(index=index), paths[0].with_name("cohort.csv"))


def bags_in(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.h5")}


def failures(outcomes: list[SlideOutcome]) -> dict[str, str]:
    return {outcome.slide_id: outcome.reason for outcome in outcomes if outcome.state == "failed"}


def holder_of(path: Path) -> int | None:
    """The process that has a file open."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) == str(path):
                return int(link.parts[2])
        except OSError:
            continue  # it ended meanwhile
    return None


class Killer(threading.Thread):
    """Kills whoever works at a slide, so many times."""

    def __init__(self, lock: Path, times: int) -> None:
        super().__init__()
        self.lock = lock
        self.times = times
        self.killed: list[int] = []
        self.given_up = threading.Event()

    def run(self) -> None:
        while len(self.killed) < self.times and not self.given_up.is_set():
            pid = holder_of(self.lock) if self.lock.exists() else None
            if pid is not None and pid not in (*self.killed, os.getpid()):
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)
            time.sleep(0.01)

    def __enter__(self) -> "Killer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.given_up.set()
        self.join()


@pytest.fixture
def with_large(cohort: Cohort, tmp_path: Path, smear: Draw, pyramid: Callable[..., Path]) -> Cohort:
    """A slide of seconds among those of moments."""
    large = pyramid(smear(4000, 3000, 77, cells=6000), "large.tif")
    return cohort_of([cohort.slides[0].path, large, *(s.path for s in cohort.slides[1:4])])


def test_bags_are_those_of_one_process(
    ray_cluster: str, cohort: Cohort, tmp_path: Path, chosen
) -> None:
    network = "untrained:torchvision:mobilenet_v2"
    settings = chosen(encoder=network, backend="torch", stain="grey-world")
    here = extract(cohort, Extraction(settings, tmp_path / "here"))
    seen: list[SlideOutcome] = []
    extraction = Extraction(settings, tmp_path / "there")
    there = extract(cohort, extraction, engine=extract_on_ray(ray_cluster), on_slide=seen.append)
    assert there == here
    assert set(failures(there)) == {"broken"}
    assert {outcome.slide_id: outcome for outcome in seen} == {o.slide_id: o for o in there}
    assert len(seen) == len(there)
    assert len(bags_in(tmp_path / "here")) == 7
    assert bags_in(tmp_path / "there") == bags_in(tmp_path / "here")


def test_a_killed_worker_is_replaced(
    ray_cluster: str, with_large: Cohort, tmp_path: Path, chosen
) -> None:
    extract(with_large, Extraction(chosen(), tmp_path / "here"))
    out = tmp_path / "there"
    with Killer(out / "state" / "large.lock", times=1) as killer:
        there = extract(with_large, Extraction(chosen(), out), engine=extract_on_ray(ray_cluster))
    assert len(killer.killed) == 1
    assert {outcome.state for outcome in there} == {"made"}
    assert bags_in(out) == bags_in(tmp_path / "here")
    assert not list(out.rglob("*.part"))


def test_a_slide_that_workers_die_of_is_given_up_and_later_made(
    ray_cluster: str, with_large: Cohort, tmp_path: Path, chosen
) -> None:
    extraction = Extraction(chosen(), tmp_path / "out")
    with Killer(extraction.out / "state" / "large.lock", times=99) as killer:
        outcomes = extract(with_large, extraction, engine=extract_on_ray(ray_cluster))
    assert len(killer.killed) == 3
    assert failures(outcomes) == {
        "large": 'slide "large" (manifest row 3): 3 workers died of it, probably for want of '
        "memory; give them more, or more processors to each with --threads"
    }
    table = pd.read_csv(extraction.out / "slides.csv").set_index("slide_id")
    assert table.loc["large", ["state", "attempts"]].tolist() == ["failed", 3]
    assert (table["state"].drop("large") == "made").all()
    assert not failures(extract(with_large, extraction))


def test_a_slide_in_work_elsewhere_is_waited_for(
    ray_cluster: str, cohort: Cohort, tmp_path: Path, chosen
) -> None:
    state = tmp_path / "out" / "state"
    state.mkdir(parents=True)
    lock = FileLock(state / "s0.lock")
    lock.acquire()
    order: list[str] = []

    def on_slide(outcome: SlideOutcome) -> None:
        order.append(outcome.slide_id)
        if len(order) == len(cohort.slides) - 1:
            lock.release()

    extraction = Extraction(chosen(), tmp_path / "out")
    extract(cohort, extraction, engine=extract_on_ray(ray_cluster), on_slide=on_slide)
    assert order[-1] == "s0"
    assert len(order) == len(cohort.slides)


def test_errors_of_the_encoder_are_those_of_one_process(
    ray_cluster: str, cohort: Cohort, tmp_path: Path, chosen
) -> None:
    settings = chosen(encoder="no-such-encoder")
    with pytest.raises(EncoderError) as expected:
        extract(cohort, Extraction(settings, tmp_path / "here"))
    with pytest.raises(EncoderError) as error:
        extract(
            cohort, Extraction(settings, tmp_path / "there"), engine=extract_on_ray(ray_cluster)
        )
    assert str(error.value) == str(expected.value)


def test_more_threads_than_a_machine_has_are_refused(
    ray_cluster: str, cohort: Cohort, tmp_path: Path, chosen
) -> None:
    torch.set_num_threads(3)
    try:
        with pytest.raises(SettingsError, match="no machine of the cluster has more than 2"):
            extract(cohort, Extraction(chosen(), tmp_path), engine=extract_on_ray(ray_cluster))
    finally:
        torch.set_num_threads(1)


def test_no_cluster_at_the_address(
    ray_cluster: str, cohort: Cohort, tmp_path: Path, chosen
) -> None:
    with pytest.raises(SettingsError, match="check --address"):
        extract(cohort, Extraction(chosen(), tmp_path), engine=extract_on_ray("localhost"))


STARTED_HERE = """
import signal
import sys
from pathlib import Path
import torch
from cohorts.manifest import Slide, SourceKind
from feature_extraction import ExtractionSettings
from feature_extraction.ray_engine import extract_on_ray
from feature_extraction.slide_job import Extraction, SlideJob

if __name__ == "__main__":
    # Ignored where the tests run in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    large, out = (Path(argument) for argument in sys.argv[1:])
    job = SlideJob(Slide("large", "P", large, SourceKind.SLIDE, None, 2))
    settings = ExtractionSettings(encoder="stain-filters", mpp="native", patch_px=32)
    for outcome in extract_on_ray()([job], Extraction(settings, out)):
        print(outcome.state)
"""


def test_an_interrupt_stops_the_cluster_that_was_started(
    tmp_path: Path, smear: Draw, pyramid: Callable[..., Path]
) -> None:
    large, lock = pyramid(smear(6000, 5000, 7, cells=9000)), tmp_path / "out/state/large.lock"
    (tmp_path / "script.py").write_text(STARTED_HERE)
    marked = {**os.environ, "CMIL_STARTED_BY_TEST": (mark := secrets.token_hex(8))}
    command = [sys.executable, tmp_path / "script.py", large, tmp_path / "out"]
    process = subprocess.Popen(
        command,
        env={**marked, "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (lock.exists() and holder_of(lock)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert said == ""
    assert complained.rstrip().endswith("KeyboardInterrupt")
    deadline = time.monotonic() + 30
    while started_with(mark):
        assert time.monotonic() < deadline, "processes of the cluster go on"
        time.sleep(0.1)
    with FileLock(lock, timeout=0):
        assert not bags_in(tmp_path / "out")


def started_with(mark: str) -> list[str]:
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in environment.read_bytes():
                found.append(environment.parts[2])
        except OSError:
            continue
    return found


def test_processors_are_counted_where_the_system_names_no_affinity(
    tmp_path: Path, chosen, slide_at, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS."""
    started: dict[str, object] = {}

    def init(**options: object) -> None:
        started.update(options)
        raise RuntimeError("no more is asked here")

    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 37)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", init)
    jobs = [SlideJob(slide_at(tmp_path / "a.tif"))]
    with pytest.raises(SettingsError, match="no more is asked here"):
        list(extract_on_ray()(jobs, Extraction(chosen(), tmp_path)))
    assert started["num_cpus"] == 37
