"""The runs of page 12 on generated problems: its parameters, the races and the atlas."""

from itertools import product

from pydantic import Field
from tqdm import tqdm

from experiments.what_to_keep.problems import INPUTS, Population
from experiments.what_to_keep.races import Contest, Problem, contest, with_weighted
from liprune_utils.book.parameters import Parameters

RACED = ("random", "liprune", "leverage", "A", "D", "IBOSS", "grand")
RACE_LABELS = ("noise 0.5", "logistic", "even signal")  # the last is no claim's
RACE_DIMS = (1, 10, 50)  # the claims are decided by the last two
ATLAS_METHODS = (*RACED, "V")
ATLAS_SHARES = {1: 1.0, 2: 0.5, 10: 0.15, 50: 0.1}  # of num_runs, by dimension: designs take long
ATLAS_LABELS = ("noise 0.5", "noise 3", "bent truth", "logistic")


class WhatToKeepParameters(Parameters):
    """Parameters of page 12."""

    num_runs: int = Field(ge=40, le=10_000)  # data sets that race; a verdict needs 200
    seed: int = Field(ge=0, lt=2**63, description="a whole number from 0 to 2^63 - 1")


def run_races(num_runs: int, seed: int) -> list[Contest]:
    """Hold the races that decide the claims, tuned on a quarter as many data sets."""
    problems = [
        Problem(Population(dim, "uneven"), labels)
        for dim, labels in product(RACE_DIMS, RACE_LABELS)
    ]
    held = []
    for problem in tqdm(problems, desc="races"):
        found = contest(problem, RACED, num_runs // 4, num_runs, seed)
        held.append(with_weighted(found, seed) if problem.labels == "logistic" else found)
    return held


def run_atlas(num_runs: int, seed: int) -> list[Contest]:
    """Hold smaller contests on many problems, tuned on half as many data sets."""
    problems = [
        Problem(Population(dim, inputs), labels)
        for dim, inputs, labels in product(ATLAS_SHARES, INPUTS, ATLAS_LABELS)
        if differs(dim, inputs)
    ]
    counts = {dim: round(share * num_runs) for dim, share in ATLAS_SHARES.items()}
    held = []
    for problem in tqdm(problems, desc="atlas"):
        count = counts[problem.population.dim]
        held.append(contest(problem, ATLAS_METHODS, count // 2, count, seed))
    return held


def differs(dim: int, inputs: str) -> bool:
    """Tell whether inputs differ from even ones: a single feature has no other to differ from."""
    return dim > 1 or inputs in ("even", "heavy-tailed")
