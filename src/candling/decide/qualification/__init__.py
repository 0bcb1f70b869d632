"""Is the machine as good as the inspectors, and how often is it right? From decisions on a kit to a verdict, purely.

Two rules share one run table: Knapp and Kushner's comparison over the containers that inspectors reject, and the run
policy "k of n" on good containers and defects (Ferrari et al. 2024: 7 of 10). Knows no file, no engine and no page.
"""

from candling.decide.qualification.kit import (
    Container,
    DefectSeverity,
    KitEntry,
    MachineRun,
    ManualInspection,
)
from candling.decide.qualification.knapp import (
    InspectorResult,
    Knapp,
    Zone,
    ZoneResult,
    quality_factor,
    zone_of,
)
from candling.decide.qualification.plan import Plan
from candling.decide.qualification.resampling import Resampling
from candling.decide.qualification.run_policy import (
    ClassifiedSide,
    PredictiveValues,
    Reading,
    RunPolicy,
    chance_of_k,
)
from candling.decide.qualification.verdict import Criterion, GroupResult, Qualification, qualify

__all__ = [
    "ClassifiedSide",
    "Container",
    "Criterion",
    "DefectSeverity",
    "GroupResult",
    "InspectorResult",
    "KitEntry",
    "Knapp",
    "MachineRun",
    "ManualInspection",
    "Plan",
    "PredictiveValues",
    "Qualification",
    "Reading",
    "Resampling",
    "RunPolicy",
    "Zone",
    "ZoneResult",
    "chance_of_k",
    "qualify",
    "quality_factor",
    "zone_of",
]
