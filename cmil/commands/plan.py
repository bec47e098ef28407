"""`cmil plan`: how many patients a study needs."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cmil.planning.sample_size import SampleSize

plan_app = typer.Typer(help="How many patients a study needs.", no_args_is_help=True)

Prevalence = Annotated[float, typer.Option(help="Share of patients with metastasis.")]
HalfWidth = Annotated[float, typer.Option(help="Of the 95% interval, to either side.")]
Power = Annotated[float, typer.Option(help="Probability to see the difference.")]


@plan_app.command()
def auc(
    expected: Annotated[float, typer.Option(help="AUC that is expected.")],
    half_width: HalfWidth,
    prevalence: Prevalence,
) -> None:
    """Patients for an interval of the AUC."""
    from cmil.planning.auc import cases_for_auc_width

    _print(cases_for_auc_width(expected, half_width, _controls_per_case(prevalence)))


@plan_app.command()
def decision(
    sensitivity: Annotated[float, typer.Option(help="Sensitivity that is expected.")],
    specificity: Annotated[float, typer.Option(help="Specificity that is expected.")],
    half_width: HalfWidth,
    prevalence: Prevalence,
) -> None:
    """Patients for intervals of sensitivity and specificity."""
    from cmil.planning.decisions import cases_for_decision_width

    _print(cases_for_decision_width(sensitivity, specificity, half_width, prevalence))


@plan_app.command()
def comparison(
    expected: Annotated[float, typer.Option(help="AUC of the one model.")],
    other: Annotated[float, typer.Option(help="AUC of the other.")],
    prevalence: Prevalence,
    correlation: Annotated[float, typer.Option(help="Of the two AUCs over samples of patients.")],
    power: Power = 0.8,
) -> None:
    """Patients to tell the AUCs of two models that score the same patients, at 5% two-sided."""
    from cmil.planning.auc import cases_for_auc_difference

    ratio = _controls_per_case(prevalence)
    _print(cases_for_auc_difference(expected, other, correlation, power, ratio))


def _controls_per_case(prevalence: float) -> float:
    from cmil.planning.sample_size import check_share

    check_share("prevalence", prevalence)
    return (1 - prevalence) / prevalence


def _print(size: "SampleSize") -> None:
    print(size.text)
