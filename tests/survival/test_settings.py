"""Settings of the survival stage: short forms, refusals, and the columns they name."""

import pytest
from pydantic import ValidationError

from survival import CutPointRule, NeuroblastomaColumns, SurvivalSettings


def test_method_alone_is_short_for_a_rule() -> None:
    assert SurvivalSettings.model_validate({"cutpoint": "tertiles"}).cutpoint == CutPointRule(
        method="tertiles"
    )


def test_words_are_risk_factors_and_subgroups_but_no_covariate() -> None:
    columns = NeuroblastomaColumns(age="age", age_unit="days", stage="stage", mycn="mycn")
    settings = SurvivalSettings(
        covariates=("age",), risk_group=columns, subgroups=("sex", "stage", "age")
    )
    assert settings.words == ("stage", "mycn", "sex")


@pytest.mark.parametrize(
    "given",
    [
        {"horizons": (0,)},
        {"horizons": (5, 5)},
        {"horizons": (24, 12)},
        {"rmst_until": 0},
        {"landmark": -1},
        {"bootstrap_samples": 5},
        {"cutpoint": "best"},
        {"cutpoint": "youden"},
        {"interval": "logit"},
    ],
)
def test_what_means_nothing_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SurvivalSettings.model_validate(given)
