"""A frozen score related to survival: cut-point lock, curves, tests, hazard ratios, figures.

Takes a predictions table and the patients' endpoints; every statistic equals R's survival
package. The cut-point is fitted on out-of-fold development scores only and never moves again.
lifelines and matplotlib are imported by the functions that need them.
"""

from cohorts.endpoints import Endpoint
from survival.accuracy_figures import (
    plot_brier,
    plot_dynamic_auc,
    plot_survival_calibration,
    plot_survival_decision_curve,
)
from survival.added_value import AddedValue, added_value
from survival.analysis import analyse, outcomes_of_rule, refuse_unfit_settings
from survival.brier import BrierScore, brier_score
from survival.concordance import (
    Censoring,
    Concordance,
    ConcordanceDifference,
    concordance_difference,
    harrell_c,
    uno_c,
)
from survival.cox import CoxRegression, HazardRatio, Penalty, cox_regression, hazard_ratio
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
from survival.cut_rules import CutPointRule
from survival.cutpoint import CutPoint, apply_cutpoint, fit_cutpoint, read_lock, write_lock
from survival.cutpoint_freeze import check_lock, freeze_cutpoint, refit_cutpoint
from survival.data_checks import check_data
from survival.decision_curve import DecisionCurve, survival_decision_curve
from survival.dynamic_auc import DynamicAuc, dynamic_auc
from survival.endpoints import join_endpoints
from survival.explained_variation import ExplainedVariation, explained_variation
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
from survival.maximally_selected import MaximallySelected, maximally_selected
from survival.neuroblastoma_factors import NeuroblastomaColumns
from survival.power import detectable_hazard_ratio, events_needed, power_of, study_power
from survival.proportional_hazards import ProportionalHazards, proportional_hazards_test
from survival.resampling import resampled_survival
from survival.results import TABLES, SurvivalResults, read_results
from survival.ridge import RidgeModel, fit_ridge, ridge_table
from survival.risk_group import indicator_columns, neuroblastoma_risk_group, risk_group_covariates
from survival.rmst import RestrictedMean, restricted_mean
from survival.rmst_figure import restricted_mean_figure
from survival.score_figures import forest_figure, plot_schoenfeld, plot_spline
from survival.settings import SurvivalSettings
from survival.spline import SplineEffect, spline_effect
from survival.study_figures import group_figure, write_figures
from survival.support import Support
from survival.survival_calibration import SurvivalCalibration, survival_calibration
from survival.time_varying import TimeVaryingEffect, time_varying_effect
from survival.weighted_cox import fit_weighted_cox, risk_by

__all__ = [
    "TABLES",
    "AddedValue",
    "BrierScore",
    "Censoring",
    "Concordance",
    "ConcordanceDifference",
    "CoxModel",
    "CoxRegression",
    "CurveText",
    "CutPoint",
    "CutPointRule",
    "DecisionCurve",
    "DynamicAuc",
    "Endpoint",
    "ExplainedVariation",
    "FirthModel",
    "FlemingHarrington",
    "HazardRatio",
    "Landmark",
    "LogRank",
    "LogRankTrend",
    "MaximallySelected",
    "NeuroblastomaColumns",
    "Penalty",
    "ProportionalHazards",
    "RestrictedMean",
    "RidgeModel",
    "SplineEffect",
    "Support",
    "SurvivalCalibration",
    "SurvivalResults",
    "SurvivalSettings",
    "TimeVaryingEffect",
    "added_value",
    "analyse",
    "apply_cutpoint",
    "baseline_hazard",
    "brier_score",
    "check_data",
    "check_lock",
    "coefficient_table",
    "concordance_difference",
    "cox_regression",
    "curves_by_group",
    "curves_figure",
    "delayed_entry_notes",
    "detectable_hazard_ratio",
    "dynamic_auc",
    "events_needed",
    "explained_variation",
    "firth_table",
    "fit_cox",
    "fit_cutpoint",
    "fit_firth",
    "fit_ridge",
    "fit_weighted_cox",
    "forest_figure",
    "freeze_cutpoint",
    "group_figure",
    "harrell_c",
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
    "maximally_selected",
    "median_follow_up",
    "median_time",
    "neuroblastoma_risk_group",
    "numbers_at_risk",
    "outcomes_of_rule",
    "pairwise_logrank",
    "plot_brier",
    "plot_dynamic_auc",
    "plot_hazard_ratios",
    "plot_kaplan_meier",
    "plot_schoenfeld",
    "plot_spline",
    "plot_survival_calibration",
    "plot_survival_decision_curve",
    "power_of",
    "predict_survival",
    "proportional_hazards_test",
    "quantile_times",
    "read_lock",
    "read_results",
    "refit_cutpoint",
    "refuse_errors",
    "refuse_unfit_settings",
    "resampled_survival",
    "restricted_mean",
    "restricted_mean_figure",
    "ridge_table",
    "risk_by",
    "risk_group_covariates",
    "spline_effect",
    "study_power",
    "survival_at",
    "survival_calibration",
    "survival_decision_curve",
    "time_varying_effect",
    "uno_c",
    "write_figure",
    "write_figures",
    "write_lock",
]
