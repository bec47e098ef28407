"""A frozen score related to survival: cut-point lock, curves, tests, hazard ratios, figures.

Takes a predictions table and the patients' endpoints; every statistic equals R's survival
package. The cut-point is fitted on out-of-fold development scores only and never moves again.
lifelines and matplotlib are imported by the functions that need them.
"""

from cohorts.endpoints import Endpoint
from survival.analysis import TABLES, SurvivalResults, analyse
from survival.cox import CoxRegression, HazardRatio, cox_regression, hazard_ratio
from survival.cox_model import CoxModel, coefficient_table, fit_cox
from survival.cox_survival import baseline_hazard, predict_survival
from survival.curve_figures import CurveText, curves_figure, kaplan_meier_figure, plot_kaplan_meier
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
from survival.data_checks import check_data
from survival.endpoints import join_endpoints
from survival.figure_file import write_figure
from survival.figures import hazard_ratio_figure, plot_hazard_ratios
from survival.findings import refuse_errors
from survival.firth import FirthModel, firth_table, fit_firth
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
from survival.neuroblastoma_factors import NeuroblastomaColumns
from survival.power import detectable_hazard_ratio, events_needed, power_of, study_power
from survival.proportional_hazards import ProportionalHazards, proportional_hazards_test
from survival.resampling import resampled_survival
from survival.risk_group import indicator_columns, neuroblastoma_risk_group, risk_group_covariates
from survival.rmst import RestrictedMean, restricted_mean
from survival.rmst_figure import restricted_mean_figure
from survival.score_figures import forest_figure, plot_forest, plot_schoenfeld, plot_spline
from survival.settings import SurvivalSettings
from survival.spline import SplineEffect, spline_effect
from survival.time_varying import TimeVaryingEffect, time_varying_effect

__all__ = [
    "TABLES",
    "CoxModel",
    "CoxRegression",
    "CurveText",
    "CutPoint",
    "Endpoint",
    "FirthModel",
    "FlemingHarrington",
    "HazardRatio",
    "Landmark",
    "LogRank",
    "LogRankTrend",
    "NeuroblastomaColumns",
    "ProportionalHazards",
    "RestrictedMean",
    "SplineEffect",
    "SurvivalResults",
    "SurvivalSettings",
    "TimeVaryingEffect",
    "analyse",
    "apply_cutpoint",
    "baseline_hazard",
    "check_data",
    "check_lock",
    "coefficient_table",
    "cox_regression",
    "curves_by_group",
    "curves_figure",
    "delayed_entry_notes",
    "detectable_hazard_ratio",
    "events_needed",
    "firth_table",
    "fit_cox",
    "fit_cutpoint",
    "fit_firth",
    "forest_figure",
    "freeze_cutpoint",
    "hazard_ratio",
    "hazard_ratio_figure",
    "immortal_time_warning",
    "indicator_columns",
    "join_endpoints",
    "kaplan_meier",
    "kaplan_meier_figure",
    "landmark_analysis",
    "logrank_test",
    "logrank_trend",
    "median_follow_up",
    "median_time",
    "neuroblastoma_risk_group",
    "numbers_at_risk",
    "pairwise_logrank",
    "plot_forest",
    "plot_hazard_ratios",
    "plot_kaplan_meier",
    "plot_schoenfeld",
    "plot_spline",
    "power_of",
    "predict_survival",
    "proportional_hazards_test",
    "quantile_times",
    "read_lock",
    "refit_cutpoint",
    "refuse_errors",
    "resampled_survival",
    "restricted_mean",
    "restricted_mean_figure",
    "risk_group_covariates",
    "spline_effect",
    "study_power",
    "survival_at",
    "time_varying_effect",
    "write_figure",
    "write_lock",
]
