"""Patient records (G16; Ceccarelli et al., 2017): does damage follow what was seen at a patient's visits so far?

A patient's sequence is one step per visit. The answer is read at the last visit, wherever that is: the target is 0 at
every other step, and in the padding after it. Nothing that follows the last visit reaches its answer, so that padding
changes no bit of it.

    step              0    1    2    3    4          inputs of a step: features, scaled; 1 where a feature is
    visit             1    2    3    -    -          missing (which is then 0); the time since the visit before
    target            0    0   ±w    0    0          w: the weight of the class; + where damage follows
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.cohort import synthetic_cohort
from tasks.draws import Stream, generator
from tasks.task import CROSS_ENTROPY, Split, Task, mean
from tasks.visits import Cohort, Patient, read_cohort, window


@dataclass(frozen=True)
class Cases:
    """Patients whose outcome is known: what is read of each, and what came of it.

    Args:
        names: of the patients.
        inputs_TNI: one step per visit, the first at step 0, zeros after the last; float32. T: most visits of a patient.
        last_N: the step of the last visit.
        damage_N: whether damage followed.
    """

    names: list[str]
    inputs_TNI: np.ndarray
    last_N: np.ndarray
    damage_N: np.ndarray

    def select(self, rows: np.ndarray) -> "Cases":
        """Some of the patients."""
        names = [self.names[row] for row in rows]
        return Cases(names, self.inputs_TNI[:, rows], self.last_N[rows], self.damage_N[rows])


class Records(Task):
    """Mini-batches of patients, drawn with replacement from those that are not in the fold that is left out.

    Args:
        path: a CSV file of one row per visit; None: the synthetic cohort, see :mod:`tasks.cohort`.
        patient, time, outcome: its columns: whose visit, when, and damage, a number above 0. The others are features.
        cohort: patients of the synthetic cohort.
        observation, prediction: see :func:`tasks.visits.window`.
        loss: ``cross_entropy`` of the logistic function, log(1 + exp(-s y)), or ``hinge``, max(0, 1 - s y), of the one
            output y, with s = 1 where damage follows and -1 elsewhere (G16).
        weighted: whether the two classes weigh the same in the loss, however frequent they are.
        folds: into which the patients are divided.
        fold: the one that is left out, and tested on.
        data_seed: of the cohort, the folds and the shuffling. The seeds of replicas are others.
        shuffled: whether outcomes are dealt out anew among the patients: a control, of which nothing can be learned.

    Raises:
        ValueError: data that cannot be learned from. The message is one line, and names row and column of a file.
    """

    outputs = 1
    every_step = True
    graded = False

    def __init__(
        self,
        *,
        length: int,
        path: str | None = None,
        patient: str = "patient",
        time: str = "time",
        outcome: str = "SDI",
        cohort: int = 1000,
        observation: float | None = 3.0,
        prediction: float | None = 3.0,
        loss: str = CROSS_ENTROPY,
        weighted: bool = True,
        folds: int = 5,
        fold: int = 0,
        data_seed: int = 0,
        shuffled: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(length=length, **common)
        if self.varies:
            raise ValueError("max_length and stretch: records are padded to one length")
        if not fold < folds:
            raise ValueError(f"fold={fold}: there are {folds} folds, 0 to {folds - 1}")
        if observation is None and prediction is not None:
            raise ValueError(f"prediction={prediction}: needs an observation, after which it begins")
        self.path = path
        self.form = loss
        self.weighted = weighted
        self.fold = fold
        self.data_seed = data_seed
        found = synthetic_cohort(cohort, data_seed) if path is None else read_cohort(path, patient, time, outcome)
        kept, damage_N, self.left_out = observed(found, observation, prediction)
        if shuffled:
            damage_N = generator(data_seed, Stream.RECORDS, 2).permutation(damage_N)
        self.digest = digest(kept, damage_N)
        self.fold_N = stratified(damage_N, folds, generator(data_seed, Stream.RECORDS, 1))
        train_N = self.fold_N != fold
        inputs_TNI = scaled(kept, train_N, length)
        self.shortened = sum(len(own.time_V) > length for own in kept)
        last_N = np.array([min(len(own.time_V), length) - 1 for own in kept])
        everybody = Cases([own.name for own in kept], inputs_TNI, last_N, damage_N)
        self.inputs = inputs_TNI.shape[2]
        self.train = everybody.select(np.flatnonzero(train_N))
        self.test = everybody.select(np.flatnonzero(~train_N))

    def about(self) -> str:
        """Whose records they are, how many patients count, and how many do not."""
        damage = int(self.train.damage_N.sum() + self.test.damage_N.sum())
        data = "SYNTHETIC cohort" if self.path is None else self.path
        parts = [f"{data} ({self.digest}): {len(self.fold_N)} patients, damage follows for {damage}"]
        parts += [f"left out: {count} {why}" for why, count in self.left_out.items()]
        if self.shortened:
            parts.append(f"of {self.shortened} only the last {self.length} visits are read")
        return "; ".join(parts)

    def keepsake(self) -> dict[str, str]:
        return {"records": self.digest}

    @property
    def held(self) -> int:
        return self.train.inputs_TNI.nbytes + self.test.inputs_TNI.nbytes

    @property
    def evaluated(self) -> int:
        """All patients of the fold that is left out."""
        return len(self.test.names)

    @cached_property
    def weights(self) -> tuple[float, float]:
        """Of a patient without damage and of one with it; the mean over the training part is 1."""
        share = float(self.train.damage_N.mean())
        return (0.5 / (1 - share), 0.5 / share) if self.weighted else (1.0, 1.0)

    def draw(
        self, length: int, batch: int, draws: np.random.Generator, split: Split = Split.TRAIN
    ) -> tuple[np.ndarray, np.ndarray]:
        """Patients drawn from the training part; for tests those of the fold that is left out, one after the other."""
        cases = self.train if split is Split.TRAIN else self.test
        known = len(cases.names)
        rows = draws.integers(known, size=batch) if split is Split.TRAIN else np.arange(batch) % known
        chosen = cases.select(rows)
        visits = len(chosen.inputs_TNI)
        inputs_TNI = np.zeros((length, *chosen.inputs_TNI.shape[1:]), dtype=np.float32)
        inputs_TNI[:visits] = chosen.inputs_TNI
        return inputs_TNI, self.targets(chosen, length)

    def targets(self, cases: Cases, length: int) -> np.ndarray:
        """The class's weight at the last visit, below 0 without damage, times the steps of which the loss is a mean."""
        without, with_damage = self.weights
        target_TN = np.zeros((length, len(cases.names)), dtype=np.float32)
        signed_N = np.where(cases.damage_N, with_damage, -without)
        target_TN[cases.last_N, np.arange(len(cases.last_N))] = length * signed_N
        return target_TN

    def loss(self, output: Tensor, target: Tensor, length_R: Tensor | None = None) -> Tensor:
        y = output[..., 0]
        margin = torch.where(target > 0, y, -y)
        if self.form == CROSS_ENTROPY:
            pair = torch.stack([margin, torch.zeros_like(margin)], dim=-1).flatten(0, -2)
            each = F.cross_entropy(pair, pair.new_zeros(len(pair), dtype=torch.int64), reduction="none").view(y.shape)
        else:
            each = (1 - margin).clamp(min=0)
        return mean(torch.where(target == 0, 0.0, target.abs() * each), length_R)

    def wrong(self, output: Tensor, target: Tensor) -> Tensor:
        raise TypeError("risks are neither right nor wrong")


def observed(
    cohort: Cohort, observation: float | None, prediction: float | None
) -> tuple[list[Patient], np.ndarray, dict[str, int]]:
    """The patients who count, with the visits that are read; whether damage follows; how many do not count, and why."""
    kept = []
    damage = []
    left_out: dict[str, int] = {}
    for each in cohort.patients:
        found = window(each, observation, prediction)
        if isinstance(found, str):
            left_out[found] = left_out.get(found, 0) + 1
            continue
        seen, follows = found
        kept.append(Patient(each.name, each.time_V[:seen], each.value_VF[:seen], each.damage_V[:seen]))
        damage.append(follows)
    return kept, np.array(damage, dtype=bool), left_out


def digest(patients: list[Patient], damage_N: np.ndarray) -> str:
    """Twelve hexadecimal digits that change with whatever is learned from."""
    found = hashlib.sha256(damage_N.tobytes())
    for patient in patients:
        found.update(patient.name.encode() + patient.time_V.tobytes() + patient.value_VF.tobytes())
    return found.hexdigest()[:12]


def stratified(damage_N: np.ndarray, folds: int, draws: np.random.Generator) -> np.ndarray:
    """The fold of each patient: each has its share of either class, to a patient, and the sizes differ by one at most.

    Raises:
        ValueError: fewer patients of a class than folds.
    """
    with_damage = int(damage_N.sum())
    for count, words in ((with_damage, "of whom damage follows"), (len(damage_N) - with_damage, "without damage")):
        if count < folds:
            windows = "observation and prediction leave"
            raise ValueError(f"folds={folds}: {windows} {count} patients {words}, and each fold needs one")
    shuffled = draws.permutation(len(damage_N))
    by_class = shuffled[np.argsort(~damage_N[shuffled], kind="stable")]  # those with damage first
    fold_N = np.empty(len(damage_N), dtype=int)
    fold_N[by_class] = np.arange(len(damage_N)) % folds
    return fold_N


def scaled(patients: list[Patient], train_N: np.ndarray, length: int) -> np.ndarray:
    """inputs_TNI float32: features, what is missing, the time since the visit before; of ``length`` visits at most.

    Features get mean 0 and standard deviation 1 over the visits of the training part at which they are known, and times
    are divided by their standard deviation there. One that never varies there is left at its size.
    """
    own = [patient for patient, is_train in zip(patients, train_N, strict=True) if is_train]
    known_VF = np.concatenate([patient.value_VF for patient in own])
    count_F = np.maximum(1, np.isfinite(known_VF).sum(0))
    mean_F = np.nansum(known_VF, axis=0) / count_F
    std_F = np.sqrt(np.nansum(np.square(known_VF - mean_F), axis=0) / count_F)
    gap_V = np.concatenate([np.diff(patient.time_V) for patient in own])
    visits = min(length, max(len(patient.time_V) for patient in patients))
    inputs_TNI = np.zeros((visits, len(patients), 2 * len(mean_F) + 1), dtype=np.float32)
    for n, patient in enumerate(patients):
        missing_VF = np.isnan(patient.value_VF)
        value_VF = np.where(missing_VF, 0.0, (patient.value_VF - mean_F) / _size(std_F))
        since_V = np.diff(patient.time_V, prepend=patient.time_V[0]) / _size(np.std(gap_V) if len(gap_V) else 0.0)
        step_VI = np.concatenate([value_VF, missing_VF, since_V[:, None]], axis=1)[-length:]
        inputs_TNI[: len(step_VI), n] = step_VI
    return inputs_TNI


def _size(std: Any) -> Any:
    """A standard deviation by which may be divided; 1 where nothing varies."""
    return np.where(std > 0, std, 1.0)
