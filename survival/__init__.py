"""A frozen score related to survival: cut-point lock, curves, tests, hazard ratios, figures.

Takes a predictions table and the patients' endpoints; every statistic equals R's survival
package. The cut-point is fitted on out-of-fold development scores only and never moves again.
lifelines and matplotlib are imported by the functions that need them.
"""

from cohorts.endpoints import Endpoint
from survival.analysis import TABLES, SurvivalResults, analyse
from survival.cox import HazardRatio, hazard_ratio
from survival.curves import kaplan_meier, median_follow_up, median_time, numbers_at_risk
from survival.cut_rules import CutPointRule
from survival.cutpoint import (
    CutPoint,
    apply_cutpoint,
    fit_cutpoint,
    read_lock,
    write_lock,
)
from survival.cutpoint_freeze import check_lock, freeze_cutpoint, refit_cutpoint
from survival.endpoints import join_endpoints
from survival.figures import (
    hazard_ratio_figure,
    kaplan_meier_figure,
    plot_hazard_ratios,
    plot_kaplan_meier,
)
from survival.logrank import LogRank, logrank_test
from survival.settings import SurvivalSettings

__all__ = [
    "TABLES",
    "CutPoint",
    "CutPointRule",
    "Endpoint",
    "HazardRatio",
    "LogRank",
    "SurvivalResults",
    "SurvivalSettings",
    "analyse",
    "apply_cutpoint",
    "check_lock",
    "fit_cutpoint",
    "freeze_cutpoint",
    "hazard_ratio",
    "hazard_ratio_figure",
    "join_endpoints",
    "kaplan_meier",
    "kaplan_meier_figure",
    "logrank_test",
    "median_follow_up",
    "median_time",
    "numbers_at_risk",
    "plot_hazard_ratios",
    "plot_kaplan_meier",
    "read_lock",
    "refit_cutpoint",
    "write_lock",
]
