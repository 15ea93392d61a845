"""A synthetic cohort: nobody's data. It has the columns of the patient record that G16 prints, and irregular visits.

What is planted: in the first years some patients have two flares, one of the blood (hematological) and one of the
joints (arthritis), each at one visit. Where the flare of the blood came first damage follows for half of them. Neither
flare alone, nor both in the other order, nor anything at the last visit foretells it. All numbers are ours, and of no
medical meaning.
"""

from functools import lru_cache

import numpy as np

from tasks.draws import Stream, generator
from tasks.visits import Cohort, Patient

FEATURES = (
    "age",
    "MyasteniaGravis",
    "arthritis",
    "c3level",
    "c4level",
    "hematological",
    "skinrash",
    "sledai2kInferred",
)
"""As G16 spells them. Findings are 0 or 1, hematological 0 or 6, c3level and c4level in mg/dl."""

EARLY = 1.8
"""Years from the first visit in which both flares lie."""
DAMAGE = (3.0, 6.0)
"""Years from the first visit between which planted damage is seen."""
COURSES = ("blood, joints", "joints, blood", "blood", "joints", "neither")
"""Which flares a patient has, in their order; all are as frequent."""
PLANTED = 0.5
"""Share of the first course for which damage follows."""
ELSEWHERE = 0.04
"""Share of all patients who have damage for no reason, at any visit."""
BY_CHANCE = 0.04
"""Share of visits with a finding that means nothing."""


@lru_cache(maxsize=4)
def synthetic_cohort(size: int, seed: int) -> Cohort:
    """So many patients, the same for the same seed; patient n does not depend on how many there are."""
    return Cohort(FEATURES, [patient(n, seed)[0] for n in range(size)])


def patient(number: int, seed: int) -> tuple[Patient, str]:
    """One patient of the cohort, and the course that was planted."""
    draws = generator(seed, Stream.RECORDS, 0, part=number)
    time_V = visit_times(draws)
    course = COURSES[draws.integers(len(COURSES))]
    finding_V3 = draws.random((len(time_V), 3)) < BY_CHANCE  # blood, joints, skin
    early = np.flatnonzero(time_V < EARLY)
    first, second = np.sort(draws.choice(early, 2, replace=False))
    finding_V3[early, :2] = False
    for kind, visit in zip(course.split(", "), (first, second), strict=False):
        if kind != "neither":
            finding_V3[visit, ("blood", "joints").index(kind)] = True
    damage_V = damage(course, time_V, draws)
    value_VF = values(finding_V3, time_V, draws)
    return Patient(f"synthetic-{number}", time_V, value_VF, damage_V), course


def visit_times(draws: np.random.Generator) -> np.ndarray:
    """Years of the visits, the first at 0; gaps of .1 to some years, .35 in the mean; two at least are early."""
    follow_up = draws.uniform(5.5, 10)
    gaps = 0.1 + draws.exponential(0.25, 100)
    gaps[0] = min(gaps[0], EARLY / 2)
    time = np.concatenate([[0.0], np.cumsum(gaps)])
    return time[time <= follow_up].round(2)


def damage(course: str, time_V: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """SDI at each visit: 0, and 1 from the visit on at which damage is seen."""
    chance, elsewhere, when = draws.random(3)
    if course == COURSES[0] and chance < PLANTED:
        candidates = np.flatnonzero((time_V > DAMAGE[0]) & (time_V <= DAMAGE[1]))
    elif elsewhere < ELSEWHERE:
        candidates = np.arange(len(time_V))
    else:
        candidates = np.arange(0)
    damage_V = np.zeros(len(time_V))
    if len(candidates):
        damage_V[candidates[int(when * len(candidates))] :] = 1
    return damage_V


def values(finding_V3: np.ndarray, time_V: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """The features of each visit; blood values fall in a flare, and are missing more often than findings."""
    visits = len(time_V)
    blood, joints, skin = finding_V3.T.astype(float)
    active = np.maximum(blood, joints)
    age = np.clip(draws.normal(40, 12), 18, 80) + time_V
    c3 = 110 - 20 * active + draws.normal(0, 12, visits)
    c4 = 18 - 4 * active + draws.normal(0, 4, visits)
    rare = float(draws.random() < 0.02)
    sledai = 4 * joints + 2 * skin + blood + 2 * (c3 < 90) + 2 * (draws.random(visits) < 0.3)
    columns = [age, np.full(visits, rare), joints, c3.round(), c4.clip(1).round(), 6 * blood, skin, sledai]
    value_VF = np.stack(columns, axis=1)
    missing_VF = draws.random(value_VF.shape) < np.array([0, 0.02, 0.02, 0.15, 0.15, 0.02, 0.02, 0.05])
    value_VF[missing_VF] = np.nan
    return value_VF
