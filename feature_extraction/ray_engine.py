"""The engine of a cluster: Ray actors work off the slides, one slide at a time each.

Ray carries jobs and outcomes only. Images are read, and bags written, by the actors themselves, on
a file system that all machines share, under the same locks as every other engine uses.
"""

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import cv2
import torch

from cohorts.errors import EncoderError
from cohorts.manifest import Slide
from cohorts.ray_cluster import cluster
from cohorts.ray_crew import TRIES, Crew, Role, WorkerDied
from feature_extraction.extract import Engine
from feature_extraction.ray_worker import Worker, proof_of
from feature_extraction.reading_ahead import usable_cores
from feature_extraction.slide_job import Extraction, SlideJob, give_up
from feature_extraction.slide_lock import InWorkElsewhere
from feature_extraction.slide_record import SlideOutcome


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
        threads = torch.get_num_threads()
        with cluster(address, max(usable_cores(), threads)) as ray:
            role = Role(
                Worker,
                (asked, threads, cv2.getNumThreads()),
                proof_of(asked.out, jobs),
                threads,
                made_ready="loaded the encoder",
                unready=EncoderError,
                mend="state backend and precision in [extraction], or install the same software on "
                "all of them",
            )
            crew = Crew[_Turn](ray, role, most=len(jobs))
            try:
                yield from _work_off(crew, jobs, asked)
            finally:
                crew.dismiss()

    return run


@dataclass(frozen=True)
class _Turn:
    """A slide that waits for a worker: how many died of it, and whether its lock is waited for."""

    job: SlideJob
    deaths: int = 0
    wait: bool = False


def _work_off(
    crew: Crew[_Turn], jobs: Sequence[SlideJob], extraction: Extraction
) -> Generator[SlideOutcome, None, None]:
    """Hand out slides as workers become free; give outcomes as they come."""
    turns = deque(_Turn(job) for job in jobs)
    missing = len(turns)
    while missing:
        while turns and (worker := crew.take()):
            turn = turns.popleft()
            crew.expect(worker, turn, worker.extract.remote(turn.job, wait=turn.wait))
        if not (answered := crew.wait()):
            continue
        settled = _settle(crew, answered, extraction)
        if isinstance(settled, _Turn):
            turns.append(settled)
        else:
            missing -= 1
            yield settled


def _settle(
    crew: Crew[_Turn], answered: tuple[object, _Turn, object], extraction: Extraction
) -> SlideOutcome | _Turn:
    """Give the outcome of a slide, or its next turn."""
    worker, turn, answer = answered
    try:
        outcome: SlideOutcome = crew.get(answer)
    except InWorkElsewhere:
        crew.release(worker)
        return replace(turn, wait=True)
    except WorkerDied:
        turn = replace(turn, deaths=turn.deaths + 1)
        return turn if turn.deaths < TRIES else _give_up(turn, extraction)
    crew.release(worker)
    return outcome


def _give_up(turn: _Turn, extraction: Extraction) -> SlideOutcome | _Turn:
    why = (
        f"{turn.deaths} workers died of it, probably for want of memory; give them more, or "
        "more processors to each with --threads"
    )
    try:
        return give_up(turn.job.slide, extraction, why, attempts=turn.deaths)
    except InWorkElsewhere:
        return replace(turn, wait=True)


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
