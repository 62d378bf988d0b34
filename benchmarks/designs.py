"""Time of selecting few points from many: 1,000 of 1,000,000 in 50 dimensions, on one core.

    OPENBLAS_NUM_THREADS=1 .venv/bin/python benchmarks/designs.py

Prints for each rule its seconds, its time over that of one pass over the data (the mean of x xᵀ),
and the error of predictions (criterion V) over that of random points, lower is better.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np

from liprune_utils.checks import exit_status, require
from liprune_utils.designs import CRITERIA, keep_extremes, leverages, optimal_design
from liprune_utils.problems import SQUARED
from liprune_utils.pruning import keep_highest

Rule = Callable[[np.ndarray, float], np.ndarray]


def rules() -> dict[str, Rule]:
    """List the rules by name."""
    found: dict[str, Rule] = {
        "random": lambda x, r: keep_highest(np.random.default_rng(1).random(len(x)), r),
        "LiPrune": lambda x, r: keep_highest(SQUARED.constants(x), r),
        "leverage": lambda x, r: keep_highest(leverages(x), r),
        "IBOSS": keep_extremes,
    }
    for name in CRITERIA:
        found[f"{name}-optimal"] = lambda x, r, name=name: optimal_design(x, r, name).kept
    return found


def prediction_error(x: np.ndarray, moment: np.ndarray, kept: np.ndarray) -> float:
    """Compute criterion V of a kept set."""
    return float(np.trace(np.linalg.solve(x[kept].T @ x[kept] / len(kept), moment)))


def main() -> None:
    """Time every rule on the same points."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--kept", type=int, default=1000)
    parser.add_argument("--dim", type=int, default=50)
    options = parser.parse_args()
    require(options.dim >= 1, "--dim", options.dim, "at least 1")
    require(options.kept > options.dim, "--kept", options.kept, f"more than --dim, {options.dim}")
    require(options.points >= options.kept, "--points", options.points, "at least --kept")
    scales = np.geomspace(3, 1 / 3, options.dim)
    x = np.random.default_rng(0).standard_normal((options.points, options.dim)) * scales
    began = time.perf_counter()
    moment = x.T @ x / len(x)
    one_pass, random = time.perf_counter() - began, None
    print(f"one pass: {one_pass:.2f} s\nrule         seconds  passes  error of predictions")
    for name, rule in rules().items():
        began = time.perf_counter()
        kept = rule(x, options.kept / options.points)
        seconds, error = time.perf_counter() - began, prediction_error(x, moment, kept)
        random = random or error
        print(f"{name:11} {seconds:8.1f} {seconds / one_pass:7.0f}  {error / random:.3f}")


if __name__ == "__main__":
    sys.exit(exit_status(main))
