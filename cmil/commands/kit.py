"""Validate at outside centres."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmil.commands.options import Bags, Json, Out, Threads, Weights, exit_if_failed, use_threads

if TYPE_CHECKING:
    pass


def build(
    model: Annotated[Path, typer.Option(metavar="DIR", help="Locked bundle.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The kit, .zip or .pyz.")],
    wheels: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also pack these wheels of what cMIL depends on."),
    ] = None,
) -> None:
    """Pack a locked bundle and its installer into one file for an outside centre."""
    from cmil.kit.build import build_kit

    needs = build_kit(model, out, wheels)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB. The centre needs\n{needs}")


def run_at_centre(
    kit: Annotated[Path, typer.Argument(metavar="KIT", help="The kit, .zip or .pyz.")],
    cohort: Annotated[Path, typer.Argument(metavar="CSV", help="Manifest of the own patients.")],
    out: Out,
    bags: Bags = None,
    weights: Weights = None,
    aggregates_only: Annotated[
        bool, typer.Option("--aggregates-only", help="Share counts and means, no patient.")
    ] = False,
    smallest_count: Annotated[
        int, typer.Option(help="Of aggregates, hide counts below this, and what tells them.")
    ] = 5,
    threads: Threads = None,
) -> None:
    """Score the own patients with a kit, and write the one file that may leave."""
    from cmil.kit.run import Sharing, run_kit

    use_threads(threads)
    sharing = Sharing(aggregates_only, smallest_count)
    done = run_kit(kit, cohort, out, sharing, bags=bags, weights=weights)
    print(f"{done.results} is what may leave; lock {done.lock}. {out / 'private'} stays here.")
    exit_if_failed(done.failed)


def collect(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Of the centres.")],
    model: Annotated[Path, typer.Option(metavar="DIR", help="The bundle the kit was built of.")],
    out: Out,
    as_json: Json = False,
) -> None:
    """Check the results files of outside centres, and pool the centres."""
    from cmil.kit.collect import collect_results, collected_json, collected_text

    found = collect_results(model, results, out)
    print(collected_json(found) if as_json else collected_text(found))
