"""Carry fits out one after another, or several at a time in processes, with the same result."""

import math
import multiprocessing
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch

from cmil.instances import FileRows, MappedInstances, placed_in_files
from cmil.patient_bags import PatientBags
from cmil.training.devices import fitting_devices
from cmil.training.fits import Fit, carry_out
from cmil.training.fitting import Epoch
from cohorts.errors import AccessError

OnFitEpoch = Callable[[Fit, Epoch | None], None]
"""Told after every epoch of a fit, and with None when the fit is done."""

WORTH_PROCESSES_S = 2.0
"""Processes are started for more than this; starting takes each as long, to import torch."""

# Of a slow core of today.
_STEP_S = 2e-3
_OPERATIONS_A_S = 1e10
_SLOWER = ("trans_mil", "codebook")

FitEngine = Callable[[Sequence[Fit], PatientBags, Path, OnFitEpoch], None]
"""Carries fits out; none of them changes a fit's result. `run_fits` is the one of this machine."""


def run_fits(fits: Sequence[Fit], bags: PatientBags, aside: Path, on_epoch: OnFitEpoch) -> None:
    """Carry out all fits, as many at a time as this process has threads, or as there are GPUs.

    What would be done before processes have started is done in this one. A fit computes with one
    thread, so its result does not depend on how many run beside it.

    Parameters
    ----------
    bags
        Of all patients of the fits; several processes share one copy of them, in files.
    aside
        Folder for what is needed until the fits are done.

    Raises
    ------
    AccessError
        If a process dies, as it does when memory runs out.
    """
    devices = fitting_devices()
    places = len(devices) if devices[0].type == "cuda" else torch.get_num_threads()
    if min(places, len(fits)) > 1 and seconds_expected(fits, bags) > WORTH_PROCESSES_S:
        rows = rows_in_files(fits, bags, aside)
        with _Crew(rows, devices, min(places, len(fits))) as crew:
            crew.work_off(fits, on_epoch)
        return
    instances = {patient: bag.rows for patient, bag in bags.bags.items()}
    for fit in fits:
        carry_out(fit, instances, devices[0], partial(on_epoch, fit))
        on_epoch(fit, None)


def seconds_expected(fits: Sequence[Fit], bags: PatientBags) -> float:
    """Guess how long fits take one after another on a processor: steps, and products of matrices.

    By the layers of gated attention; TransMIL and a codebook take some three times as long.
    Patients held out are scored once, with all their instances. No result depends on it.
    """
    seconds = 0.0
    for fit in fits:
        asked = fit.settings
        rows = sum(min(len(bags.bags[p]), asked.instances_per_bag) for p in fit.patients)
        widths = [bags.dimension, *asked.layers, asked.hidden]
        weights = sum(a * b for a, b in pairwise(widths)) + 2 * asked.hidden * asked.attention_width
        steps = math.ceil(len(fit.patients) / asked.bags_per_step)
        scored = sum(len(bags.bags[p]) for p in fit.held_out)
        product = 2 * weights * (3 if asked.aggregator in _SLOWER else 1) / _OPERATIONS_A_S
        seconds += asked.epochs * (steps * _STEP_S + 3 * rows * product) + scored * product
    return seconds


def rows_in_files(fits: Sequence[Fit], bags: PatientBags, aside: Path) -> dict[str, list[FileRows]]:
    """Say in which files the embeddings of the fits' patients lie; in `aside`, if in none yet."""
    patients = dict.fromkeys(p for fit in fits for p in (*fit.patients, *fit.held_out))
    slides = {patient: bags.bags[patient].slides for patient in patients}
    return placed_in_files(slides, aside / "instances.bin")


@dataclass
class _Worker:
    process: SpawnProcess
    line: "Connection[Any, Any]"
    fit: Fit | None = None


class _Crew:
    """Processes that carry out a fit at a time, and what each is at."""

    def __init__(
        self, rows: Mapping[str, Sequence[FileRows]], devices: Sequence[torch.device], size: int
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._workers = []
        for number in range(size):
            ours, theirs = context.Pipe()
            device = devices[number % len(devices)]
            process = context.Process(target=_serve, args=(theirs, rows, device), daemon=True)
            process.start()
            theirs.close()  # what is not held here too ends when the worker dies
            self._workers.append(_Worker(process, ours))

    def __enter__(self) -> "_Crew":
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all workers, whatever they are at: what they finished is in files."""
        for worker in self._workers:
            worker.line.close()
            worker.process.terminate()
            worker.process.join()

    def work_off(self, fits: Sequence[Fit], on_epoch: OnFitEpoch) -> None:
        """Hand out fits as workers become free, and tell what they say."""
        waiting = deque(fits)
        left = len(fits)
        for worker in self._workers:
            self._hand(worker, waiting)
        while left:
            busy = {w.line: (w, w.fit) for w in self._workers if w.fit}
            for line in wait(list(busy)):
                worker, fit = busy[line]  # type: ignore[index]  # of the lines waited for
                said = self._heard(worker, fit)
                on_epoch(fit, said)
                if said is None:
                    left -= 1
                    self._hand(worker, waiting)

    def _hand(self, worker: _Worker, waiting: "deque[Fit]") -> None:
        worker.fit = waiting.popleft() if waiting else None
        if worker.fit:
            worker.line.send(worker.fit)

    def _heard(self, worker: _Worker, fit: Fit) -> Epoch | None:
        """Take one message: an epoch, or None when the fit is done."""
        try:
            said: Epoch | Exception | None = worker.line.recv()
        except (EOFError, OSError) as error:
            worker.process.join()
            raise AccessError(
                f"the process that trained fold {fit.fold + 1} died (exit code "
                f"{worker.process.exitcode}), probably for want of memory; free memory, or train "
                "with fewer --threads, and run again"
            ) from error
        if isinstance(said, Exception):
            raise said
        return said


def _serve(
    line: "Connection[Any, Any]", rows: Mapping[str, Sequence[FileRows]], device: torch.device
) -> None:
    """Carry out what is asked for, until the asking process ends the line or dies."""
    bags = {
        patient: MappedInstances([slide.mapped() for slide in slides])
        for patient, slides in rows.items()
    }
    try:
        while True:
            fit: Fit = line.recv()
            try:
                carry_out(fit, bags, device, line.send)
                line.send(None)
            except OSError:
                raise
            except Exception as error:  # whatever it is, the asking process raises it
                error.add_note(traceback.format_exc())
                line.send(error)
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        return
