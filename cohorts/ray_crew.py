"""The workers of a run on Ray: hired, examined when they join, and replaced when they die."""

import socket
from dataclasses import dataclass, replace
from importlib.metadata import version
from types import ModuleType
from typing import Any, Generic, TypeVar

from cohorts.errors import SettingsError, StudyError
from cohorts.ray_cluster import places_for_workers

# A task may have killed its worker, or its machine was taken away: only the first happens again.
TRIES = 3

Task = TypeVar("Task")


class WorkerDied(Exception):  # noqa: N818  # what happened, for whoever handed it a task
    """The worker that a task was handed to is no more; another one has been hired."""


@dataclass(frozen=True)
class Role:
    """What the workers of a run are, and what is said of them if they are of no use.

    Attributes
    ----------
    worker, arguments
        Class of the actors, and what each is made with. Its method `join` gives a `Member`.
    proof
        Handed to `join`; what a worker has to find.
    threads
        That each has, and so the processors that it claims.
    made_ready
        What a worker has done when it has joined, for the line that says that none did.
    unready
        The error of that line.
    mend
        What makes machines alike that do not compute the same.
    """

    worker: type
    arguments: tuple[Any, ...]
    proof: Any
    threads: int
    made_ready: str
    unready: type[StudyError]
    mend: str


@dataclass(frozen=True)
class Member:
    """A worker's account of itself; on all machines the same, but for the host."""

    host: str
    computes_with: str

    def computes_like(self, other: "Member") -> bool:
        """Tell whether only the hosts differ."""
        return replace(self, host=other.host) == other

    def __str__(self) -> str:
        return f"{self.host} ({self.computes_with})"


class Crew(Generic[Task]):
    """The workers of a run, and what each of them is at.

    A worker that is taken is expected to answer a task; when it has, it is expected again, or
    released.
    """

    def __init__(self, ray: ModuleType, role: Role, *, most: int) -> None:
        """Hire as many workers as the cluster has places for, `most` at most."""
        self._ray = ray
        self._role = role
        places, self._claim = places_for_workers(ray.nodes(), role.threads)
        self._free: list[Any] = []
        self._joining: dict[Any, Any] = {}  # by the promise of its account
        self._at_work: dict[Any, tuple[Any, Task]] = {}  # by the promise of its answer
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

    def take(self) -> Any | None:
        """Take a worker that is free, if one is."""
        return self._free.pop() if self._free else None

    def expect(self, worker: Any, task: Task, answer: Any) -> None:
        """Note that a worker was asked, about a task, for what is promised."""
        self._at_work[answer] = worker, task

    def release(self, worker: Any) -> None:
        """Take back a worker that has answered."""
        self._free.append(worker)

    def wait(self) -> tuple[Any, Task, Any] | None:
        """Wait until a worker answers: it, its task, and the promise; or until one has joined.

        Raises
        ------
        SettingsError
            If the workers would not compute the same, or what they raised when they joined.
        StudyError
            As the role says, if workers died before they had joined.
        """
        promises = [*self._joining, *self._at_work]
        (kept,), _ = self._ray.wait(promises, num_returns=1)
        if kept in self._joining:
            self._welcome(self._joining.pop(kept), kept)
            return None
        worker, task = self._at_work.pop(kept)
        return worker, task, kept

    def get(self, answer: Any) -> Any:
        """Take what was promised, or raise what the worker raised.

        Raises
        ------
        WorkerDied
            If it died.
        """
        try:
            return self._kept(answer)
        except self._deadly as death:
            self._hire()
            raise WorkerDied from death

    def dismiss(self) -> None:
        """Stop all workers, whatever they are at; the system takes their locks from them."""
        at_work = (worker for worker, _ in self._at_work.values())
        for worker in [*self._free, *self._joining.values(), *at_work]:
            self._ray.kill(worker)

    def _hire(self) -> None:
        # Not restarted by Ray: a worker that comes anew has to join anew.
        remote = self._ray.remote(self._role.worker).options(max_restarts=0, **self._claim)
        worker = remote.remote(*self._role.arguments)
        self._joining[worker.join.remote(self._role.proof)] = worker

    def _welcome(self, worker: Any, joined: Any) -> None:
        try:
            member: Member = self._kept(joined)
        except self._deadly as death:
            self._died_joining += 1
            if self._died_joining >= TRIES:
                said = str(death).strip().splitlines()[-1][:200]
                raise self._role.unready(
                    f"{TRIES} workers died before they had {self._role.made_ready} ({said}); give "
                    "them more memory, and install cmil on all machines of the cluster"
                ) from death
            self._hire()
            return
        self._died_joining = 0
        self._first = self._first or member
        if not member.computes_like(self._first):
            raise SettingsError(
                f"the machines of the cluster would not compute the same: {self._first} and "
                f"{member}; {self._role.mend}"
            )
        self._free.append(worker)

    def _kept(self, promise: Any) -> Any:
        try:
            return self._ray.get(promise)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error


def refuse_other_release(release: str) -> None:
    """Make sure that this machine has the release of the package that the command is of.

    Raises
    ------
    SettingsError
        If it has another.
    """
    if version("cmil") != release:
        raise SettingsError(
            f"{socket.gethostname()} has cmil {version('cmil')}, but the command is of cmil "
            f"{release}; install the same release on all machines of the cluster"
        )
