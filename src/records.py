"""python -m src.records DIR...: how well patients are ranked by risk, all folds pooled: AUC with its interval."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from src.auc import auc, interval, resamples
from src.config import ConfigurationError, refuse, science
from src.config.errors import of_disk
from src.results.collect import Config
from src.results.comparison import differing
from src.rundir import INTERRUPTED, runs_under, table_file, write_frame
from src.trained import Trained, load_population
from tasks.records import Cases, Records

FOLD = "task.fold"
SCORES = "scores"
"""Stem of the table with one row per patient and whatever gave the patient a score."""

AREAS = "auc"
"""Stem of the table of areas under the ROC curve."""

NETWORK, LAST_VISIT = "network", "last visit"
"""What gives scores: each replica, and a logistic regression that sees the last visit alone."""


@dataclass(frozen=True)
class Fold:
    """What a run says of the patients that it did not learn from."""

    task: Records
    seeds: list[int]
    score_RN: np.ndarray


@torch.no_grad()
def risks(population: Trained, task: Records) -> np.ndarray:
    """The answer of each replica for each patient of its fold, score_RN; one that is no number counts as 0."""
    cases = task.test
    replicas = len(population.seeds)
    inputs = torch.from_numpy(cases.inputs_TNI).expand(replicas, -1, -1, -1).contiguous()
    lengths = torch.full((replicas,), len(cases.inputs_TNI))
    output_RTNO = population.network(inputs, lengths, every_step=True)
    return np.nan_to_num(output_RTNO[:, cases.last_N, np.arange(len(cases.last_N)), 0].numpy())


def last_visit(cases: Cases) -> np.ndarray:
    """The inputs of each patient's last visit, NI."""
    return cases.inputs_TNI[cases.last_N, np.arange(len(cases.last_N))]


def regression(task: Records) -> np.ndarray:
    """What a logistic regression on the last visit answers for each patient of the fold, score_N.

    Raises:
        ConfigurationError: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ConfigurationError(["scikit-learn is missing: pip install -c constraints.txt -e '.[records]'"]) from error
    model = LogisticRegression(class_weight="balanced" if task.weighted else None, max_iter=10_000)
    model.fit(last_visit(task.train), task.train.damage_N)
    return model.decision_function(last_visit(task.test))


def read(directories: Sequence[Path]) -> dict[Config, list[Fold]]:
    """The folds of each configuration, all of them, and each once.

    Raises:
        ConfigurationError: no runs of patient records; records that have changed; a fold missing, or there twice.
    """
    found: dict[Config, list[Fold]] = {}
    for run in runs_under(directories):
        population = load_population(run.path)
        task = population.task
        if not isinstance(task, Records):
            continue
        if population.keepsake.get("records", task.digest) != task.digest:
            raise ConfigurationError([f"{run}: learned from other records than those that are there now"])
        if INTERRUPTED in set(population.results["status"]):
            print(f"{run}: interrupted; the networks as they were then are used", file=sys.stderr)
        config = Config((key, value) for key, value in science(population.config).items() if key != FOLD)
        found.setdefault(config, []).append(Fold(task, population.seeds, risks(population, task)))
    if not found:
        raise ConfigurationError([f"no runs of patient records under {', '.join(map(str, directories))}"])
    problems = []
    for folds in found.values():
        problems += fold_problems(folds)
    if problems:
        raise ConfigurationError(problems)
    return found


def fold_problems(folds: Sequence[Fold]) -> list[str]:
    """Folds that are missing or there twice, and folds of other seeds than the first one's."""
    counts = Counter(each.task.fold for each in folds)
    wanted = range(1 + int(folds[0].task.fold_N.max()))
    problems = [f"{FOLD}={fold}: is missing" for fold in wanted if not counts[fold]]
    problems += [f"{FOLD}={fold}: is there {count} times" for fold, count in counts.items() if count > 1]
    odd = [each.task.fold for each in folds if each.seeds != folds[0].seeds]
    return problems + [f"{FOLD}={fold}: has other seeds than {FOLD}={folds[0].task.fold}" for fold in odd]


def scores(folds: Sequence[Fold]) -> pd.DataFrame:
    """One row per patient and network, then per patient and regression; of networks that had not learned from it."""
    parts = []
    for each in folds:
        names = each.task.test.names
        common = {"fold": each.task.fold, "patient": names, "damage": each.task.test.damage_N.astype(int)}
        for seed, score_N in zip(each.seeds, each.score_RN, strict=True):
            parts.append(pd.DataFrame({"scored_by": NETWORK, "seed": seed, **common, "score": score_N}))
        parts.append(pd.DataFrame({"scored_by": LAST_VISIT, "seed": pd.NA, **common, "score": regression(each.task)}))
    table = pd.concat([part.astype({"seed": "Int64"}) for part in parts])
    return table.sort_values(["scored_by", "seed", "fold"], ascending=[False, True, True], kind="stable")


def areas(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """AUC and its 95 % interval over patients: of a network, the mean over seeds; of the regression; their difference.

    Beside them stand the patients who count, and those of them for whom damage follows.

    Every row is of the same bootstrap samples, so that the difference is one of pairs.

    Args:
        table: of :func:`scores`, of one configuration.
        seed: of the samples.
    """
    found: dict[str, np.ndarray] = {}
    for name, own in table.groupby("scored_by", sort=False):
        each = []
        for _, one in own.groupby("seed", dropna=False):
            once_BN = np.ones((1, len(one)), dtype=int)
            count_BN = np.concatenate([once_BN, resamples(len(one), seed)])
            each.append(auc(one["score"].to_numpy(), one["damage"].to_numpy(bool), count_BN))
        found[str(name)] = np.mean(each, axis=0)
    found["difference"] = found[NETWORK] - found[LAST_VISIT]
    rows = [(name, value_B[0], *interval(value_B[1:])) for name, value_B in found.items()]
    patients = table.drop_duplicates("patient")
    counts = {"patients": len(patients), "damage": int(patients["damage"].sum())}
    return pd.DataFrame(rows, columns=["scored_by", "auc", "ci_low", "ci_high"]).assign(**counts)


def show(found: pd.DataFrame, folds: Sequence[Fold], names: Sequence[str]) -> None:
    """Prints the areas of one configuration.

    Args:
        names: what the configuration is called.
    """
    console = Console()
    networks = f"{len(folds[0].seeds)} networks a fold"
    for line in (folds[0].task.about(), f"{', '.join(names)}; {networks}"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    printed = Table("scores of", "AUC", "95 % interval")
    for row in found.itertuples():
        printed.add_row(str(row.scored_by), f"{row.auc:.3f}", f"{row.ci_low:.3f} to {row.ci_high:.3f}")
    console.print(printed, highlight=False)


def _typed(value: object) -> str:
    """A value as it is typed."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def pool(directories: Sequence[Path], out: Path) -> pd.DataFrame:
    """Writes scores.csv and auc.csv, prints the areas of each configuration, and returns them.

    Raises:
        ConfigurationError: as :func:`read` and :func:`regression`.
    """
    configs = read(directories)
    keys = differing(configs)
    tables = []
    found = []
    for config, folds in configs.items():
        known = dict(config)
        values = {"cell": known["cell.name"], "optimizer": known["optimizer.name"]}
        values |= {key: known.get(key) for key in keys}
        table = scores(folds)
        area = areas(table, folds[0].task.data_seed)
        show(area, folds, [f"{key}={_typed(value)}" for key, value in values.items()])
        tables.append(table.assign(**values))
        found.append(area.assign(**values))
    out.mkdir(parents=True, exist_ok=True)
    write_frame(pd.concat(tables), table_file(out, SCORES))
    joined = pd.concat(found, ignore_index=True)
    write_frame(joined, table_file(out, AREAS))
    print(f"in {out}: {SCORES}.csv, {AREAS}.csv")
    return joined


def main() -> None:
    """The command line: 0 done, 1 no disk, 2 no runs, or folds that do not fit together."""
    parser = argparse.ArgumentParser(prog="python -m src.records", description=__doc__)
    parser.add_argument("directories", metavar="DIR", nargs="+", type=Path, help="searched for runs at any depth")
    parser.add_argument("--out", type=Path, help="where to write; default: the first DIR")
    arguments = parser.parse_args()
    try:
        pool(arguments.directories, arguments.out or arguments.directories[0])
    except ConfigurationError as problem:
        refuse(problem.problems)
    except OSError as error:
        print(f"error: {of_disk(error)}", file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
