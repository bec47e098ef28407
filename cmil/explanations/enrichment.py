"""What attention looks at: measures of the patches it weighs most, against the patient's others."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cmil.explanations.concentration import highest
from cmil.explanations.over_patients import mean_over_patients
from cmil.explanations.patch_measures import EDGE
from cmil.validation.discrimination import auc_delong
from survival.multiplicity import adjusted_p

_FEWEST = 2
# Cohen 1988: an effect of half a standard deviation is visible to the naked eye.
_VISIBLE = 0.5
_SIGNIFICANT = 0.05

# What a map should not follow: measure, direction in which it is a warning, and what to say.
_SUSPICIOUS = {
    "sharpness": (-1, "blur: the patches it weighs most are less sharp than the patient's others"),
    "saturation": (
        0,
        "the strength of the stain: the patches it weighs most are {} strongly stained than the "
        "patient's others",
    ),
    "ink": (1, "ink: the patches it weighs most hold more ink than the patient's others"),
    EDGE: (-1, "the edge of the slide: the patches it weighs most lie nearer to it than others"),
}


def patient_effect(
    values: NDArray[np.floating], measure: NDArray[np.float64]
) -> dict[str, float] | None:
    """Compare a measure between the highest tenth of a patient's map and the rest.

    Parameters
    ----------
    values
        (N,) map.
    measure
        (N,) NaN where it is not known.

    Returns
    -------
    dict or None
        `patches` with a known measure; mean of `top` and `rest`; their `difference` in standard
        deviations of the patient's patches; `auc`, how often a patch of the top has the higher
        value. None if fewer than two patches are on either side, or the measure does not vary.
    """
    known = ~np.isnan(measure)
    in_top = np.zeros(len(values), dtype=bool)
    in_top[highest(values)] = True
    top, rest = measure[in_top & known], measure[~in_top & known]
    spread = float(measure[known].std()) if known.any() else 0.0
    if min(len(top), len(rest)) < _FEWEST or not spread > 1e-9 * np.abs(measure[known]).max():
        return None
    return {
        "patches": float(known.sum()),
        "top": float(top.mean()),
        "rest": float(rest.mean()),
        "difference": float((top.mean() - rest.mean()) / spread),
        "auc": auc_delong(measure[known], in_top[known]).value,
    }


def enrichment(effects: pd.DataFrame) -> pd.DataFrame:
    """Test over patients, measure by measure, whether the mean difference in a patient is 0.

    One-sample t test of the patients' differences, which R calls `t.test(difference)`; p values of
    all measures are adjusted together by Benjamini & Hochberg.

    Parameters
    ----------
    effects
        `measure, top, rest, difference, auc`, one row for each patient and measure.

    Returns
    -------
    DataFrame
        One row a measure: `measure, patients, top, rest, difference, ci_low, ci_high, auc, p,
        p_adjusted`, the largest differences first.
    """
    rows = []
    for measure, of_patients in effects.groupby("measure", sort=False):
        found = mean_over_patients(of_patients["difference"])
        means = of_patients[["top", "rest", "auc"]].mean()
        rows.append(
            {
                "measure": measure,
                "patients": found.patients,
                "top": means["top"],
                "rest": means["rest"],
                "difference": found.mean,
                "ci_low": found.ci_low,
                "ci_high": found.ci_high,
                "auc": means["auc"],
                "p": found.p,
            }
        )
    columns = ["measure", "patients", "top", "rest", "difference", "ci_low", "ci_high", "auc", "p"]
    table = pd.DataFrame(rows, columns=columns)
    table["p_adjusted"] = adjusted_p(table["p"], "benjamini-hochberg")
    order = (-table["difference"].abs()).argsort(kind="stable")
    return table.iloc[order].reset_index(drop=True)


def suspicions(table: pd.DataFrame) -> list[str]:
    """Say in plain words where a map follows blur, stain, ink or the slide's edge.

    Only what is visible (half a standard deviation or more) and significant (adjusted p below
    0.05) is said.

    Parameters
    ----------
    table
        From `enrichment`.
    """
    lines = []
    for row in table.to_dict("records"):
        direction, words = _SUSPICIOUS.get(row["measure"], (1, ""))
        effect = float(row["difference"])
        if not words or not row["p_adjusted"] < _SIGNIFICANT or abs(effect) < _VISIBLE:
            continue
        if direction * effect >= 0:
            said = words.format("more" if effect > 0 else "less")
            interval = f"95% CI {row['ci_low']:+.2f} to {row['ci_high']:+.2f}"
            lines.append(
                f"the map follows {said} ({effect:+.2f} standard deviations, {interval}, "
                f"{row['patients']} patients); look whether the score does, too"
            )
    return lines
