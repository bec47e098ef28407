"""Progress of long work: a bar with rate and time left on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_SECONDS_BETWEEN_LINES = 10.0


class Advance(Protocol):
    """Called when some of the work is done."""

    def __call__(self, steps: int = 1, note: str = "") -> None:
        """Add `steps` to what is done; `note` says what came last."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="cyan")


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Show how far `what` has come, on stderr, so that stdout stays clean for results.

    Parameters
    ----------
    what
        The work, in a word or two.
    total
        Number of steps.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines(what, total)
        return
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


def _plain_lines(what: str, total: int) -> Advance:
    started = last = time.monotonic()
    done = 0
    one_at_a_time = Lock()  # slides tell of themselves from threads of their own

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, last
        with one_at_a_time:
            done += steps
            now = time.monotonic()
            if now - last < _SECONDS_BETWEEN_LINES and not (steps and done == total):
                return
            last = now
        rate = done / max(now - started, 1e-9)
        left = f"{rate:.1f}/s, {(total - done) / rate:.0f} s left" if done else "just begun"
        say(f"{what}: {done}/{total}, {left} {note}".rstrip())

    return advance


def say(line: str) -> None:
    """Tell the user one thing, on stderr."""
    print(line, file=sys.stderr, flush=True)
