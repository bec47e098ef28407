"""The command line. Every command parses, calls one function, and prints."""

import sys
import traceback
from typing import Annotated

import typer

from cmil import __version__
from cmil.commands import extraction, kit, modelling, protocol, survival, whole_study
from cmil.commands.plan import plan_app

app = typer.Typer(
    name="cmil",
    help="Bone marrow smears to a validated metastasis score. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cohort_app = typer.Typer(help="Look at a cohort before anything is computed.", no_args_is_help=True)
cohort_app.command()(whole_study.check)
bags_app = typer.Typer(help="Exchange bags with other programs.", no_args_is_help=True)
bags_app.command()(extraction.export)
kit_app = typer.Typer(
    help="Validate at outside centres, whose data stay there.", no_args_is_help=True
)
kit_app.command()(kit.build)
kit_app.command(name="run")(kit.run_at_centre)
kit_app.command()(kit.collect)
# In the order of a study; `--help` shows it.
for command in (
    *(whole_study.demo, whole_study.run, whole_study.doctor),
    *(extraction.encoders, extraction.extract, modelling.train, modelling.predict),
    *(protocol.audit, protocol.lock, protocol.validate, protocol.recalibrate),
    *(survival.survival, modelling.compare, modelling.explain, modelling.heatmap),
    *(protocol.report, modelling.check_aggregator),
):
    app.command()(command)
app.add_typer(cohort_app, name="cohort")
app.add_typer(bags_app, name="bags")
app.add_typer(kit_app, name="kit")
app.add_typer(plan_app, name="plan")


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback on error.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    del debug, version  # --debug is read by `main`, which also sees errors raised while parsing


def main() -> None:
    """Run a command; errors meant for the user end in one line and exit code 1."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debugging = len(arguments) < len(sys.argv) - 1
    try:
        app(arguments)
    except KeyboardInterrupt:
        print("stopped; run the same command again to resume", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if debugging:
            traceback.print_exc()
        print(_message(error), file=sys.stderr)
        sys.exit(1)


def _message(error: Exception) -> str:
    from cohorts.errors import StudyError

    if isinstance(error, StudyError):
        return "\n".join(f"error: {line}" for line in str(error).splitlines())
    if isinstance(error, OSError) and error.filename:
        return f'error: "{error.filename}": {error.strerror}; check the path and its permissions'
    kind = type(error).__name__
    return f"error: unexpected {kind}: {error}; run again with --debug and report it"


if __name__ == "__main__":
    main()
