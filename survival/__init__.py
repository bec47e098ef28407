"""A frozen score related to survival: cut-point lock, curves, tests, hazard ratios, figures.

Takes a predictions table and the patients' endpoints; every statistic equals R's survival
package. The cut-point is fitted on out-of-fold development scores only and never moves again.
lifelines and matplotlib are imported by the functions that need them.
"""

from cohorts.endpoints import Endpoint
from survival.analysis import TABLES, SurvivalResults, analyse
from survival.cox import HazardRatio, hazard_ratio
from survival.curve_figures import (
    CurveText,
    curves_figure,
    kaplan_meier_figure,
    plot_kaplan_meier,
)
from survival.curves import (
    curves_by_group,
    kaplan_meier,
    median_follow_up,
    median_time,
    numbers_at_risk,
    quantile_times,
    survival_at,
)
from survival.cutpoint import (
    CutPoint,
    apply_cutpoint,
    check_lock,
    fit_cutpoint,
    freeze_cutpoint,
    read_lock,
    refit_cutpoint,
    write_lock,
)
from survival.endpoints import join_endpoints
from survival.figure_file import write_figure
from survival.figures import hazard_ratio_figure, plot_hazard_ratios
from survival.landmark import (
    Landmark,
    delayed_entry_notes,
    immortal_time_warning,
    landmark_analysis,
)
from survival.logrank import (
    FlemingHarrington,
    LogRank,
    LogRankTrend,
    logrank_test,
    logrank_trend,
    pairwise_logrank,
)
from survival.resampling import resampled_survival
from survival.rmst import RestrictedMean, restricted_mean
from survival.rmst_figure import restricted_mean_figure
from survival.settings import SurvivalSettings

__all__ = [
    "TABLES",
    "CurveText",
    "CutPoint",
    "Endpoint",
    "FlemingHarrington",
    "HazardRatio",
    "Landmark",
    "LogRank",
    "LogRankTrend",
    "RestrictedMean",
    "SurvivalResults",
    "SurvivalSettings",
    "analyse",
    "apply_cutpoint",
    "check_lock",
    "curves_by_group",
    "curves_figure",
    "delayed_entry_notes",
    "fit_cutpoint",
    "freeze_cutpoint",
    "hazard_ratio",
    "hazard_ratio_figure",
    "immortal_time_warning",
    "join_endpoints",
    "kaplan_meier",
    "kaplan_meier_figure",
    "landmark_analysis",
    "logrank_test",
    "logrank_trend",
    "median_follow_up",
    "median_time",
    "numbers_at_risk",
    "pairwise_logrank",
    "plot_hazard_ratios",
    "plot_kaplan_meier",
    "quantile_times",
    "read_lock",
    "refit_cutpoint",
    "resampled_survival",
    "restricted_mean",
    "restricted_mean_figure",
    "survival_at",
    "write_figure",
    "write_lock",
]
