"""In a log, progress is a few plain lines on stderr."""

import pytest

from cmil import progress as module
from cmil.progress import progress, say


class Clock:
    """Time that passes when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock)
    return clock


def test_lines_come_every_ten_seconds_and_at_the_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("extract", total=40) as advance:
        for done in range(1, 41):
            clock.now += 1
            advance(note=f"slide {done}")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "extract: 10/40, 1.0/s, 30 s left slide 10",
        "extract: 20/40, 1.0/s, 20 s left slide 20",
        "extract: 30/40, 1.0/s, 10 s left slide 30",
        "extract: 40/40, 1.0/s, 0 s left slide 40",
    ]


def test_steps_count_and_a_long_step_says_how_far_it_is(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("extract", total=6) as advance:
        clock.now += 2
        advance(0, note="slide 1: 5%")
        clock.now += 10
        advance(0, note="slide 1: 60%")
        clock.now += 4
        advance(4)
        advance(2)
    assert capsys.readouterr().err.splitlines() == [
        "extract: 0/6, just begun slide 1: 60%",
        "extract: 6/6, 0.4/s, 0 s left",
    ]


def test_what_is_said_leaves_stdout_clean(capsys: pytest.CaptureFixture[str]) -> None:
    say("train: up to date")
    assert tuple(capsys.readouterr()) == ("", "train: up to date\n")
