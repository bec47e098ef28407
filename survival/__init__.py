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
from survival.analysis import TABLES, SurvivalResults, analyse
from survival.brier import BrierScore, brier_score
from survival.concordance import (
    Censoring,
    Concordance,
    ConcordanceDifference,
    concordance_difference,
    harrell_c,
    uno_c,
)
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
from survival.decision_curve import DecisionCurve, survival_decision_curve
from survival.dynamic_auc import DynamicAuc, dynamic_auc
from survival.endpoints import join_endpoints
from survival.explained_variation import ExplainedVariation, explained_variation
from survival.figures import (
    hazard_ratio_figure,
    kaplan_meier_figure,
    plot_hazard_ratios,
    plot_kaplan_meier,
)
from survival.logrank import LogRank, logrank_test
from survival.maximally_selected import MaximallySelected, maximally_selected
from survival.settings import SurvivalSettings
from survival.support import Support
from survival.survival_calibration import SurvivalCalibration, survival_calibration
from survival.weighted_cox import fit_weighted_cox, risk_by

__all__ = [
    "TABLES",
    "AddedValue",
    "BrierScore",
    "Censoring",
    "Concordance",
    "ConcordanceDifference",
    "CutPoint",
    "CutPointRule",
    "DecisionCurve",
    "DynamicAuc",
    "Endpoint",
    "ExplainedVariation",
    "HazardRatio",
    "LogRank",
    "MaximallySelected",
    "Support",
    "SurvivalCalibration",
    "SurvivalResults",
    "SurvivalSettings",
    "added_value",
    "analyse",
    "apply_cutpoint",
    "brier_score",
    "check_lock",
    "concordance_difference",
    "dynamic_auc",
    "explained_variation",
    "fit_cutpoint",
    "fit_weighted_cox",
    "freeze_cutpoint",
    "harrell_c",
    "hazard_ratio",
    "hazard_ratio_figure",
    "join_endpoints",
    "kaplan_meier",
    "kaplan_meier_figure",
    "logrank_test",
    "maximally_selected",
    "median_follow_up",
    "median_time",
    "numbers_at_risk",
    "plot_brier",
    "plot_dynamic_auc",
    "plot_hazard_ratios",
    "plot_kaplan_meier",
    "plot_survival_calibration",
    "plot_survival_decision_curve",
    "read_lock",
    "refit_cutpoint",
    "risk_by",
    "survival_calibration",
    "survival_decision_curve",
    "uno_c",
    "write_lock",
]
