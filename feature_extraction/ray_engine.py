"""The engine of a cluster: Ray actors work off the slides, one slide at a time each.

Ray carries jobs and outcomes only. Images are read, and bags written, by the actors themselves, on
a file system that all machines share, under the same locks as every other engine uses.
"""

import logging
import os
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import cv2
import torch

from cohorts.errors import EncoderError, SettingsError
from cohorts.manifest import Slide
from feature_extraction.extract import Engine
from feature_extraction.rates import usable_cores
from feature_extraction.ray_worker import Member, Proof, Worker, proof_of
from feature_extraction.slide_job import Extraction, SlideJob, give_up
from feature_extraction.slide_lock import InWorkElsewhere
from feature_extraction.slide_record import SlideOutcome

# A slide may have killed its worker, or its machine was taken away: only the first happens again.
_TRIES = 3
# Nothing but jobs and outcomes travels; unasked, Ray would reserve a third of the memory.
_OBJECT_STORE_BYTES = 100 << 20


def extract_on_ray(address: str | None = None) -> Engine:
    """Give the engine of a Ray cluster.

    A worker has as many threads as this process, and claims as many processors: its bags are, bit
    for bit, those that this process would make on such a machine. Where the cluster has GPUs,
    there is a worker for each of them instead. A worker is handed its next slide when it has given
    the outcome of the last, so that a slide its worker dies of is known: it is tried again by
    another one, after the others, and given up when three have died.

    Parameters
    ----------
    address
        HOST:PORT of a cluster, or "auto" for the one that this machine belongs to; without it, a
        cluster of this machine alone is started, and stopped at the end.

    Raises
    ------
    SettingsError
        When run: if Ray is not installed, no cluster is at the address, none of its machines has
        the processors of a worker, or they would not all compute the same.
    AccessError
        When run: if a machine does not see the folder of the bags, or the slides.
    EncoderError
        When run: if the encoder cannot be built, or workers die of it.
    """

    def run(
        jobs: Sequence[SlideJob], extraction: Extraction
    ) -> Generator[SlideOutcome, None, None]:
        if not jobs:
            return
        asked = _absolute(extraction)
        jobs = [_absolute_job(job) for job in jobs]
        ray = _import_ray()
        with _cluster(ray, address):
            crew = _Crew(ray, asked, proof_of(asked.out, jobs), most=len(jobs))
            try:
                yield from crew.work_off(jobs)
            finally:
                crew.dismiss()

    return run


@dataclass(frozen=True)
class _Turn:
    """A slide that waits for a worker: how many died of it, and whether its lock is waited for."""

    job: SlideJob
    deaths: int = 0
    wait: bool = False


class _Crew:
    """The workers of a run, and what each of them is at."""

    def __init__(self, ray: ModuleType, extraction: Extraction, proof: Proof, *, most: int) -> None:
        self._ray = ray
        self._extraction = extraction
        self._proof = proof
        places, self._claim = places_for_workers(ray.nodes(), torch.get_num_threads())
        self._free: list[Any] = []
        self._at_work: dict[Any, tuple[Any, _Turn | None]] = {}  # by the promise of its result
        self._first: Member | None = None
        self._died_joining = 0
        errors = ray.exceptions
        self._deadly = (
            errors.RayActorError,
            errors.NodeDiedError,
            errors.OutOfMemoryError,
            errors.WorkerCrashedError,
        )
        for _ in range(min(places, most)):
            self._hire()

    def work_off(self, jobs: Sequence[SlideJob]) -> Generator[SlideOutcome, None, None]:
        """Hand out slides as workers become free; give outcomes as they come."""
        turns = deque(_Turn(job) for job in jobs)
        missing = len(turns)
        while missing:
            while self._free and turns:
                self._hand(self._free.pop(), turns.popleft())
            (done,), _ = self._ray.wait(list(self._at_work), num_returns=1)
            actor, turn = self._at_work.pop(done)
            if turn is None:
                self._welcome(actor, done)
                continue
            settled = self._settle(actor, turn, done)
            if isinstance(settled, _Turn):
                turns.append(settled)
            else:
                missing -= 1
                yield settled

    def dismiss(self) -> None:
        """Stop all workers, whatever they are at; the system takes their locks from them."""
        for actor in [*self._free, *(actor for actor, _ in self._at_work.values())]:
            self._ray.kill(actor)

    def _hire(self) -> None:
        # Not restarted by Ray: a worker that comes anew has to join anew.
        remote = self._ray.remote(Worker).options(max_restarts=0, **self._claim)
        actor = remote.remote(self._extraction, torch.get_num_threads(), cv2.getNumThreads())
        self._at_work[actor.join.remote(self._proof)] = actor, None

    def _hand(self, actor: Any, turn: _Turn) -> None:
        self._at_work[actor.extract.remote(turn.job, wait=turn.wait)] = actor, turn

    def _welcome(self, actor: Any, joined: Any) -> None:
        try:
            member: Member = self._result(joined)
        except self._deadly as death:
            self._died_joining += 1
            if self._died_joining >= _TRIES:
                said = str(death).strip().splitlines()[-1][:200]
                raise EncoderError(
                    f"{_TRIES} workers died before they had loaded the encoder ({said}); give them "
                    "more memory, and install cmil on all machines of the cluster"
                ) from death
            self._hire()
            return
        self._died_joining = 0
        self._first = self._first or member
        if not member.computes_like(self._first):
            raise SettingsError(
                f"the machines of the cluster would not compute the same: {self._first} and "
                f"{member}; state backend and precision in [extraction], or install the same "
                "software on all of them"
            )
        self._free.append(actor)

    def _settle(self, actor: Any, turn: _Turn, done: Any) -> SlideOutcome | _Turn:
        """Give the outcome of a slide, or its next turn."""
        try:
            outcome: SlideOutcome = self._result(done)
        except InWorkElsewhere:
            self._free.append(actor)
            return replace(turn, wait=True)
        except self._deadly:
            self._hire()
            turn = replace(turn, deaths=turn.deaths + 1)
            return turn if turn.deaths < _TRIES else self._give_up(turn)
        self._free.append(actor)
        return outcome

    def _give_up(self, turn: _Turn) -> SlideOutcome | _Turn:
        why = (
            f"{turn.deaths} workers died of it, probably for want of memory; give them more, or "
            "more processors to each with --threads"
        )
        try:
            return give_up(turn.job.slide, self._extraction, why, attempts=turn.deaths)
        except InWorkElsewhere:
            return replace(turn, wait=True)

    def _result(self, promise: Any) -> Any:
        try:
            return self._ray.get(promise)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error


def places_for_workers(
    nodes: Sequence[Mapping[str, Any]], threads: int
) -> tuple[int, Mapping[str, int]]:
    """Count the workers that a cluster has room for.

    Parameters
    ----------
    nodes
        As `ray.nodes()` tells of them.
    threads
        Of a worker.

    Returns
    -------
    places
        One for each GPU, or, on a cluster without, for each `threads` processors of a machine.
    claim
        What Ray is to set aside for each.

    Raises
    ------
    SettingsError
        If there is no place.
    """
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    gpus = sum(int(machine.get("GPU", 0)) for machine in machines)
    if gpus:
        return gpus, {"num_gpus": 1, "num_cpus": 0}
    places = sum(int(machine.get("CPU", 0)) // threads for machine in machines)
    if not places:
        largest = max((int(machine.get("CPU", 0)) for machine in machines), default=0)
        raise SettingsError(
            f"a worker claims {threads} processors, one for each thread, but no machine of the "
            f"cluster has more than {largest}; choose --threads {max(largest, 1)} or less"
        )
    return places, {"num_cpus": threads}


def _absolute(extraction: Extraction) -> Extraction:
    """Name files so that they are found from any working directory; links stay as they are."""
    settings, given = extraction.settings, extraction.coordinates
    if settings.weights:
        settings = settings.model_copy(update={"weights": settings.weights.absolute()})
    return replace(
        extraction,
        settings=settings,
        out=extraction.out.absolute(),
        coordinates=given.absolute() if given else None,
    )


def _absolute_job(job: SlideJob) -> SlideJob:
    def absolute(slide: Slide) -> Slide:
        return replace(slide, path=slide.path.absolute())

    return SlideJob(absolute(job.slide), tuple(absolute(slide) for slide in job.earlier))


def _import_ray() -> ModuleType:
    # Read when Ray is imported. It is not to report to its makers what a hospital runs.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise SettingsError(
            "--engine ray needs Ray; install it with pip install 'cmil[ray]'"
        ) from error
    return ray


@contextmanager
def _cluster(ray: ModuleType, address: str | None) -> Iterator[None]:
    """Start a cluster, or connect to one; at the end stop it, or only leave it."""
    if ray.is_initialized():  # by the program that called us, whose it stays
        yield
        return
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        cpus = max(usable_cores(), torch.get_num_threads())
        start = {
            "address": "local",
            "num_cpus": cpus,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    else:
        start = {"address": address}
    try:
        try:
            ray.init(**start, **quiet)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            where = "on this machine" if address is None else f'with "{address}"'
            said = " ".join(str(error).split())
            raise SettingsError(
                f"Ray does not start {where} ({said}); check --address, and `ray status` there"
            ) from error
        yield
    finally:
        ray.shutdown()
