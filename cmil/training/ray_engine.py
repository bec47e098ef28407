"""Fits on a Ray cluster: actors carry them out, one fit at a time each.

Ray carries fits, words and finished models, all of them small. The bags are mapped by each actor
from the files they lie in, on a file system that all machines share; the command alone writes.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType

import torch

from cmil.patient_bags import PatientBags
from cmil.training.fit_workers import FitEngine, OnFitEpoch, rows_in_files
from cmil.training.fits import Fit
from cmil.training.ray_worker import FitFiles, FitWorker, News, proof_of
from cohorts.errors import AccessError
from cohorts.files import whole_file
from cohorts.ray_cluster import cluster
from cohorts.ray_crew import TRIES, Crew, Role, WorkerDied


@contextmanager
def fits_on_ray(address: str | None = None) -> Iterator[FitEngine]:
    """Give the engine of a Ray cluster, which is left, or stopped, at the end.

    A worker computes with one thread, and claims one processor; where the cluster has GPUs, there
    is a worker for each of them instead. Models are, bit for bit, those that the local engine
    would make on such a machine. A fit whose worker dies is carried out again by another one,
    after the others.

    Parameters
    ----------
    address
        HOST:PORT of a cluster, or "auto" for the one that this machine belongs to; without it, a
        cluster of this machine alone is started, with a processor for each thread of this process.

    Raises
    ------
    SettingsError
        If Ray is not installed, or no cluster is at the address; when run: if it has no place for
        a worker, or the machines would not all compute the same.
    AccessError
        When run: if a machine does not see the bags, or three workers have died of a fit.
    """
    with cluster(address, torch.get_num_threads()) as ray:
        yield partial(_run_fits, ray)


def _run_fits(
    ray: ModuleType, fits: Sequence[Fit], bags: PatientBags, aside: Path, on_epoch: OnFitEpoch
) -> None:
    if not fits:
        return
    rows = rows_in_files(fits, bags, aside.absolute())
    role = Role(
        FitWorker,
        (rows,),
        proof_of(rows),
        threads=1,
        made_ready="opened the bags",
        unready=AccessError,
        mend="install the same software on all of them, and train on machines of one kind",
    )
    crew = Crew[_Turn](ray, role, most=len(fits))
    try:
        _work_off(crew, fits, on_epoch)
    finally:
        crew.dismiss()


@dataclass(frozen=True)
class _Turn:
    """A fit that waits, or is in work: how many workers died of it, and the last epoch told of."""

    fit: Fit
    deaths: int = 0
    told: int = -1


def _work_off(crew: Crew[_Turn], fits: Sequence[Fit], on_epoch: OnFitEpoch) -> None:
    """Hand out fits as workers become free, write what they made, and tell what they say."""
    waiting = deque(_Turn(fit) for fit in fits)
    left = len(fits)
    while left:
        while waiting and (worker := crew.take()):
            turn = waiting.popleft()
            crew.expect(worker, turn, worker.carry_out.remote(turn.fit))
        if not (answered := crew.wait()):
            continue
        worker, turn, answer = answered
        try:
            news: News = crew.get(answer)
        except WorkerDied as death:
            waiting.append(_again(turn, death))
            continue
        turn = _told(turn, news, on_epoch)
        if news.files is None:
            crew.expect(worker, turn, worker.go_on.remote())
            continue
        _write(turn.fit, news.files)
        on_epoch(turn.fit, None)
        left -= 1
        crew.release(worker)


def _told(turn: _Turn, news: News, on_epoch: OnFitEpoch) -> _Turn:
    """Tell of epochs; a fit that began anew comes to some that were told before its worker died."""
    for epoch in news.epochs:
        if epoch.number > turn.told:
            on_epoch(turn.fit, epoch)
            turn = replace(turn, told=epoch.number)
    return turn


def _again(turn: _Turn, death: WorkerDied) -> _Turn:
    deaths = turn.deaths + 1
    if deaths < TRIES:
        return replace(turn, deaths=deaths)
    raise AccessError(
        f"{deaths} workers died of training fold {turn.fit.fold + 1}, probably for want of memory; "
        "give them more, or start Ray with fewer processors a machine, and run again"
    ) from death


def _write(fit: Fit, files: FitFiles) -> None:
    """Write the result last: a fit is done where it is."""
    if fit.weights and files.weights is not None:
        with whole_file(fit.weights) as partial_file:
            partial_file.write_bytes(files.weights)
    with whole_file(fit.result) as partial_file:
        partial_file.write_bytes(files.result)
