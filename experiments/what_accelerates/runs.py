r"""The runs behind page 05: every method on the data sets and test points of page 04.

Settings for `experiments.linear_model.runs.simulate`, and two methods that it lacks: unbiased
sampling with :math:`p \propto L` from all points, and pruning fixed batches instead of points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from experiments.linear_model.runs import (
    KEEP_FRACTIONS,
    NUM_POINTS,
    NUM_STEPS,
    Paths,
    Pruning,
    Setting,
    simulate,
    stream,
)
from experiments.linear_model.tables import typical_moments
from experiments.what_accelerates.closed_forms import (
    BATCH_SIZE,
    LEARNING_RATE,
    TARGET_STEPS,
    best_rates,
    step_multiplier,
    typical_limit,
)
from experiments.what_accelerates.fixed_batches import (
    BATCH_SIZES,
    FixedBatches,
    simulate_fixed_batches,
)
from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.problems import LinearData, draw_linear
from liprune_utils.sgd import descend, run_in_blocks
from liprune_utils.streams import StreamFamily

CONTRACTION = 0.3  # mean share of the error that a step removes, for the noise floors
LIMIT_SHARES = (0.9, 1.05)  # rates to try, as shares of each method's stability limit
# Beside those of page 04.
sampling_stream = StreamFamily({"importance": 4, "made": 5, "example": 15})


class AccelerationParameters(Parameters):
    """Parameters of page 05."""

    slope: float  # true slope w* of the linear model, which the paper does not state
    # Weighted label noise has heavy tails: standard errors of fewer runs cannot be trusted.
    num_runs: int = Field(ge=1000, le=10**6)  # data sets, each with its own SGD runs
    num_problems: int = Field(ge=10, le=10**5)  # data sets on which Theorem 1's bound is computed
    seed: int = Field(ge=0)  # root of all random streams

    @model_validator(mode="after")
    def _check_slope(self) -> Self:
        # The steeper the slope, the longer a few runs outweigh the others in the means to check.
        require(0 < abs(self.slope) <= 100, "slope", self.slope, "not 0, and at most 100 in size")
        return self


@dataclass(frozen=True)
class Experiment:
    """All paths of the page; every method has the same data sets and test points."""

    pruned: dict[tuple, dict[Pruning, Paths]]  # by what a setting is for, as in `_make_settings`
    unbiased: dict[tuple[float, float], Paths]  # by step size and chance that a step is made
    batches: dict[tuple[int, float], FixedBatches]  # by batch size and keep fraction


def _make_settings(slope: float) -> dict[tuple, Setting]:
    """List the settings to simulate by what they are for, such as ("batch", size)."""
    settings = {("batch", size): Setting(size, LEARNING_RATE) for size in BATCH_SIZES}
    for fraction in KEEP_FRACTIONS:
        matched = LEARNING_RATE * step_multiplier(fraction)
        settings["matched", fraction] = Setting(BATCH_SIZE, matched, (fraction,))
        for method in ("liprune", "random"):
            kept = typical_moments(fraction if method == "liprune" else 1.0, method)
            rate = CONTRACTION / float(kept.xx[0])
            settings["floor", method, fraction] = Setting(BATCH_SIZE, rate, (fraction,))
            for share in LIMIT_SHARES:
                rate = share * typical_limit(method, fraction)
                settings["limit", share, method, fraction] = Setting(BATCH_SIZE, rate, (fraction,))
    for (steps, method, fraction), rate in best_rates(slope).items():
        if method != "unbiased":
            fractions = (fraction,) if fraction < 1 else ()
            settings["best", steps, method, fraction] = Setting(BATCH_SIZE, rate, fractions)
    return settings


def run_experiment(*, num_runs: int, seed: int, slope: float) -> Experiment:
    """Run everything that page 05 measures on the linear model."""
    settings = _make_settings(slope)
    pruned = simulate(settings, num_runs=num_runs, seed=seed, slope=slope)
    best = best_rates(slope)
    rates = [
        *((LEARNING_RATE, probability) for probability in (1.0, *KEEP_FRACTIONS)),
        *((best[steps, "unbiased", 1.0], 1.0) for steps in TARGET_STEPS),
        (settings["floor", "random", 0.1].learning_rate, 1.0),
    ]
    unpruned = pruned["batch", BATCH_SIZES[0]]["none", 1.0]
    unbiased = _unbiased_paths(rates, unpruned, seed=seed)
    return Experiment(pruned, unbiased, simulate_fixed_batches(unpruned, seed=seed))


def _unbiased_paths(
    rates: Sequence[tuple[float, float]], unpruned: Paths, *, seed: int
) -> dict[tuple[float, float], Paths]:
    r"""Sample with :math:`p \propto L` (Theorem 2, ten draws per batch) in unpruned runs' data."""
    data_stream, slope = stream(seed, "data"), unpruned.slope
    points, made = sampling_stream(seed, "importance"), sampling_stream(seed, "made")

    def run_block(size: int) -> dict[tuple[float, float], tuple[np.ndarray]]:
        data = draw_linear(data_stream, size, NUM_POINTS, slope=slope)
        pull = importance_pulls(data, points.random((size, NUM_STEPS, BATCH_SIZE)))
        chance = made.random((size, NUM_STEPS)).T
        mean_square = data.lipschitz.mean(axis=1)
        errors = {}
        for rate, probability in rates:
            scale = (chance < probability) / probability * mean_square  # [step, run]
            errors[rate, probability] = (descend(scale, scale * pull, rate) - slope,)
        return errors

    sets = {name: unpruned.sets[name] for name in ("test", "full")}
    blocks = run_in_blocks(run_block, unpruned.error.shape[1], name="unbiased sampling")
    return {
        pair: Paths(Setting(BATCH_SIZE, pair[0], ()), slope, error, sets)
        for pair, (error,) in blocks.items()
    }


def importance_pulls(data: LinearData, uniforms: np.ndarray) -> np.ndarray:
    r"""Draw points with :math:`p_i \propto x_i^2` and take each batch's mean of :math:`y_i / x_i`.

    The weighted gradient is :math:`\frac{m}{x_i^2} (w x_i - y_i) x_i = m (w - y_i / x_i)`.
    """
    runs, count = data.x.shape
    edges = np.cumsum(data.lipschitz, axis=1)
    own = np.arange(runs)[:, None]  # one sorted line for all runs: run k lies in [k, k + 1]
    line = (edges / edges[:, -1:] + own).ravel()
    places = np.searchsorted(line, (uniforms.reshape(runs, -1) + own).ravel(), side="right")
    places = np.minimum(places.reshape(runs, -1), own * count + count - 1)
    ratio = (data.y / data.x).ravel()[places]
    return ratio.reshape(uniforms.shape).mean(axis=2).T
