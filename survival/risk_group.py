"""Known risk groups of neuroblastoma, so that a score can be adjusted for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from cohorts.errors import DataError
from survival.neuroblastoma_factors import NeuroblastomaColumns, read_factors

UNKNOWN = "unknown"
INRG_ORDER = ("very low", "low", "intermediate", "high")
SIMPLE_ORDER = ("other", "high")
INRG = "INRG pre-treatment risk group (Cohn 2009)"
SIMPLE = "simple grouping: high if MYCN amplified, or stage 4/M at 18 months or older"


@dataclass(frozen=True)
class _Rule:
    """A line of the classification: the values that each factor must have, others being free."""

    code: str
    group: str
    needs: Mapping[str, tuple[str, ...]]


def _rule(code: str, group: str, **needs: str) -> _Rule:
    return _Rule(code, group, {factor: tuple(v.split("|")) for factor, v in needs.items()})


_YOUNG = "<12|12-18"
# Cohn et al. 2009, J Clin Oncol 27:289, figure 2, with its letters.
_INRG_RULES = (
    _rule("A", "very low", stage="L1|L2", histology="maturing"),
    _rule("B", "very low", stage="L1", histology="other", mycn="no"),
    _rule("K", "high", stage="L1", histology="other", mycn="yes"),
    _rule("D", "low", stage="L2", age=_YOUNG, histology="other", mycn="no", aberration_11q="no"),
    _rule(
        "G",
        "intermediate",
        stage="L2",
        age=_YOUNG,
        histology="other",
        mycn="no",
        aberration_11q="yes",
    ),
    _rule(
        "E",
        "low",
        stage="L2",
        age=">=18",
        histology="other",
        differentiation="differentiating",
        mycn="no",
        aberration_11q="no",
    ),
    _rule(
        "H",
        "intermediate",
        stage="L2",
        age=">=18",
        histology="other",
        differentiation="differentiating",
        mycn="no",
        aberration_11q="yes",
    ),
    _rule(
        "H",
        "intermediate",
        stage="L2",
        age=">=18",
        histology="other",
        differentiation="poor",
        mycn="no",
    ),
    _rule("N", "high", stage="L2", histology="other", mycn="yes"),
    _rule("F", "low", stage="M", age=_YOUNG, mycn="no", ploidy="hyperdiploid"),
    _rule("I", "intermediate", stage="M", age="<12", mycn="no", ploidy="diploid"),
    _rule("J", "intermediate", stage="M", age="12-18", mycn="no", ploidy="diploid"),
    _rule("O", "high", stage="M", age=_YOUNG, mycn="yes"),
    _rule("P", "high", stage="M", age=">=18"),
    _rule("C", "very low", stage="MS", age=_YOUNG, mycn="no", aberration_11q="no"),
    _rule("Q", "high", stage="MS", age=_YOUNG, mycn="no", aberration_11q="yes"),
    _rule("R", "high", stage="MS", age=_YOUNG, mycn="yes"),
)
_SIMPLE_RULES = (
    _rule("", "high", mycn="yes"),
    _rule("", "high", mycn="no", stage="M", age=">=18"),
    _rule("", "other", mycn="no", stage="M", age=_YOUNG),
    _rule("", "other", mycn="no", stage="L1|L2|MS"),
)


def neuroblastoma_risk_group(patients: pd.DataFrame, columns: NeuroblastomaColumns) -> pd.DataFrame:
    """Assign each patient's risk group before treatment.

    With all seven factors the group is that of INRG (Cohn et al. 2009, J Clin Oncol 27:289);
    without one of their columns it is the simple grouping, and `system` says so. A patient without
    a value has a group if every value it could have leads to the same one.

    Parameters
    ----------
    patients
        Indexed by patient id.
    columns
        Which column holds which factor.

    Returns
    -------
    pandas.DataFrame
        Indexed as `patients`: `group` ("very low" to "high", "other" and "high" in the simple
        grouping, or "unknown"), `code` (letter of INRG's table, where one fits), `system`, and
        `reason` why a group is unknown.

    Raises
    ------
    SettingsError
        If a column is not there.
    DataError
        If a column holds a word that is none of its factor's.
    """
    known = read_factors(patients, columns)
    complete = all(
        getattr(columns, factor) is not None
        for factor in ("histology", "differentiation", "aberration_11q", "ploidy")
    )
    rules, system = (_INRG_RULES, INRG) if complete else (_SIMPLE_RULES, SIMPLE)
    lines = [_classify(row, rules) for row in known]
    table = pd.DataFrame(lines, index=patients.index, columns=["group", "code", "reason"])
    table.insert(2, "system", system)
    return table


def known_risk_group(patients: pd.DataFrame, columns: NeuroblastomaColumns) -> "pd.Series[str]":
    """Give the risk group as a category, from low to high, missing where it is not known.

    `neuroblastoma_risk_group`, indexed as `patients`; errors as there.
    """
    groups = neuroblastoma_risk_group(patients, columns)
    order = INRG_ORDER if (groups["system"] == INRG).all() else SIMPLE_ORDER
    known = pd.Categorical(groups["group"].where(groups["group"] != UNKNOWN), list(order), True)
    return pd.Series(known, index=patients.index, name="risk group")


def risk_group_covariates(patients: pd.DataFrame, columns: NeuroblastomaColumns) -> pd.DataFrame:
    """Give the covariates that adjust a Cox model for the known risk group.

    `neuroblastoma_risk_group` as `indicator_columns`, indexed as `patients`; errors as of both.
    """
    groups = neuroblastoma_risk_group(patients, columns)
    order = INRG_ORDER if (groups["system"] == INRG).all() else SIMPLE_ORDER
    return indicator_columns(groups["group"], order)


def indicator_columns(groups: "pd.Series[str]", order: Sequence[str]) -> pd.DataFrame:
    """Code groups as columns of 0 and 1 against the first group of `order` that occurs.

    For any disease: name a column and the order of its groups. A patient of unknown or no group
    has NaN and is left out of a model, which counts it. A group without a patient has no column.

    Raises
    ------
    DataError
        If there is a group that `order` does not name.
    """
    stray = groups[groups.notna() & ~groups.isin([*order, UNKNOWN])]
    if len(stray):
        raise DataError(
            f'risk group "{stray.iloc[0]}" of patient "{stray.index[0]}" is none of '
            f"{', '.join(order)}; name it in the order of groups"
        )
    present = [name for name in order if (groups == name).any()]
    known = groups.isin(present)
    return pd.DataFrame(
        {
            f"{name} versus {present[0]}": (groups == name).astype(float).where(known)
            for name in present[1:]
        },
        index=groups.index,
    )


def _classify(row: Mapping[str, str | None], rules: Sequence[_Rule]) -> tuple[str, str, str]:
    """Give group, code and reason: what all rules agree on that the known values leave open."""

    def possible(rule: _Rule) -> bool:
        return all(row.get(f) is None or row[f] in values for f, values in rule.needs.items())

    left = [rule for rule in rules if possible(rule)]
    if not left:
        return UNKNOWN, "", "stage MS at 18 months or older, which INRG does not define"
    groups = {rule.group for rule in left}
    codes = {rule.code for rule in left}
    if len(groups) == 1:
        return groups.pop(), codes.pop() if len(codes) == 1 else "", ""
    deciding = {factor for rule in left for factor in rule.needs if row.get(factor) is None}
    names = [factor for factor in row if factor in deciding]
    return UNKNOWN, "", f"no {', '.join(names)}: {', '.join(sorted(groups))} are possible"
