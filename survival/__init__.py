"""A frozen score related to survival: cut-point lock, curves, tests, hazard ratios, figures.

Takes a predictions table and the patients' endpoints; every statistic equals R's survival
package. The cut-point is fitted on out-of-fold development scores only and never moves again.
matplotlib is imported by the functions that need it.
"""

from cohorts.endpoints import Endpoint
from survival.analysis import TABLES, SurvivalResults, analyse
from survival.cox import CoxRegression, HazardRatio, cox_regression, hazard_ratio
from survival.cox_model import CoxModel, coefficient_table, fit_cox
from survival.cox_survival import baseline_hazard, predict_survival
from survival.curves import kaplan_meier, median_follow_up, median_time, numbers_at_risk
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
from survival.figures import (
    hazard_ratio_figure,
    kaplan_meier_figure,
    plot_hazard_ratios,
    plot_kaplan_meier,
)
from survival.findings import refuse_errors
from survival.firth import FirthModel, firth_table, fit_firth
from survival.logrank import LogRank, logrank_test
from survival.neuroblastoma_factors import NeuroblastomaColumns
from survival.power import detectable_hazard_ratio, events_needed, power_of, study_power
from survival.proportional_hazards import ProportionalHazards, proportional_hazards_test
from survival.risk_group import (
    indicator_columns,
    neuroblastoma_risk_group,
    risk_group_covariates,
)
from survival.score_figures import forest_figure, plot_forest, plot_schoenfeld, plot_spline
from survival.settings import SurvivalSettings
from survival.spline import SplineEffect, spline_effect
from survival.time_varying import TimeVaryingEffect, time_varying_effect

__all__ = [
    "TABLES",
    "CoxModel",
    "CoxRegression",
    "CutPoint",
    "Endpoint",
    "FirthModel",
    "HazardRatio",
    "LogRank",
    "NeuroblastomaColumns",
    "ProportionalHazards",
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
    "indicator_columns",
    "join_endpoints",
    "kaplan_meier",
    "kaplan_meier_figure",
    "logrank_test",
    "median_follow_up",
    "median_time",
    "neuroblastoma_risk_group",
    "numbers_at_risk",
    "plot_forest",
    "plot_hazard_ratios",
    "plot_kaplan_meier",
    "plot_schoenfeld",
    "plot_spline",
    "power_of",
    "predict_survival",
    "proportional_hazards_test",
    "read_lock",
    "refit_cutpoint",
    "refuse_errors",
    "risk_group_covariates",
    "spline_effect",
    "study_power",
    "time_varying_effect",
    "write_lock",
]
