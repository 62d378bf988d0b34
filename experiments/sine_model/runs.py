r"""SGD on the sine model: LiPrune against random pruning (paper, Appendix B.4, Figure 12).

Learning rates are those of the loss with the half; without it, half the rate takes the same steps.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from pydantic import Field

from experiments.linear_model.runs import KEEP_FRACTIONS, Pruning, prunings, stream
from experiments.sine_model.landscapes import (
    NOISE_SD,
    NUM_POINTS,
    WEIGHT,
    SineData,
    draw_sine,
    population_loss,
)
from liprune_utils.book.parameters import Parameters
from liprune_utils.book.register import margin
from liprune_utils.intervals import mean_interval, ratio_interval, share_interval, standard_error
from liprune_utils.lipschitz import sine_gradient, sine_loss
from liprune_utils.pruning import num_kept
from liprune_utils.sgd import distinct_batches, run_in_blocks

NUM_STEPS, BATCH_SIZE, LEARNING_RATE, START = 100, 10, 0.2, 8.0  # paper, Figure 12
NEAR = margin("sine-no-advantage", "distance")  # from the true weight
FLOOR = NOISE_SD**2 / 2  # the expected loss at the true weight


class SineParameters(Parameters):
    """Parameters of page 07: one setting of the reader's own, and the size of the experiments."""

    keep_fraction: float = Field(ge=0.01, lt=1)  # in "your setting"; 0.01 keeps a batch of 10
    learning_rate: float = Field(gt=0, le=10)  # in "your setting", for the loss with the half
    start: float = Field(ge=-20, le=20)  # first weight of SGD in "your setting"
    num_draws: int = Field(ge=5000, le=10**6)  # data sets of 1000 points; the checks need 5000
    num_runs: int = Field(ge=100, le=10**6)  # SGD runs of the paper's setting, each on its own data
    seed: int = Field(ge=0)  # root of all random streams


@dataclass(frozen=True)
class Setting:
    """What to run on every data set, from each start at each rate."""

    starts: tuple[float, ...] = (START,)
    learning_rates: tuple[float, ...] = (LEARNING_RATE,)
    keep_fractions: tuple[float, ...] = KEEP_FRACTIONS  # Figure 12 does not say
    steps: tuple[int, ...] = (NUM_STEPS,)  # at which weights are recorded, increasing
    losses: tuple[str, ...] = ()  # means to compute on the data: "kept" points, "full" set

    def place(self, where: tuple[int, int, int]) -> dict[str, float]:
        """Name a position in the arrays of `Paths`."""
        step, start, rate = where
        columns = {"start": self.starts[start], "learning_rate": self.learning_rates[rate]}
        return columns | {"step": self.steps[step]}

    @property
    def prunings(self) -> list[Pruning]:
        """The methods to run; keeping everything is no pruning."""
        return prunings(fraction for fraction in self.keep_fractions if fraction < 1)


@dataclass(frozen=True)
class Paths:
    """Paths of SGD: arrays of shape ``[num_steps, num_starts, num_rates, num_runs]``."""

    setting: Setting
    weight: np.ndarray
    kept_loss: np.ndarray | None = None  # on the points kept, with the half
    full_loss: np.ndarray | None = None  # on all training points


def simulate(
    setting: Setting, *, num_runs: int, seed: int = 0, block: int = 500
) -> dict[Pruning, Paths]:
    """Run SGD with every pruning from every start at every rate, on fresh data in each run.

    All share the data; LiPrune and random pruning also share the positions of each batch in their
    lists of kept points.
    """
    counts = {num_kept(NUM_POINTS, pruning.keep_fraction) for pruning in setting.prunings}
    batches = {count: stream(seed, "batches", count) for count in counts}
    run_block = partial(_simulate_block, setting, stream(seed, "data"), batches)
    blocks = run_in_blocks(run_block, num_runs, name="sine model", block=block)
    names = [f"{name}_loss" for name in setting.losses]
    return {
        pruning: Paths(setting, weight, **dict(zip(names, losses, strict=True)))
        for pruning, (weight, *losses) in blocks.items()
    }


def _simulate_block(
    setting: Setting,
    draws: np.random.Generator,
    batches: Mapping[int, np.random.Generator],
    num_runs: int,
) -> dict[Pruning, list[np.ndarray]]:
    """Weights, and the losses of the setting."""
    data = draw_sine(draws, num_runs, NUM_POINTS)
    points = {"liprune": data.by_constant(), "random": data, "none": data}
    kept = {pruning: points[pruning.method].first(pruning.keep_fraction)
            for pruning in setting.prunings}  # fmt: skip
    arrays = {}
    for fraction in dict.fromkeys(pruning.keep_fraction for pruning in kept):
        partners = [pruning for pruning in kept if pruning.keep_fraction == fraction]
        count = num_kept(NUM_POINTS, fraction)
        drawn = distinct_batches(batches[count], num_runs, count, BATCH_SIZE, setting.steps[-1])
        paths = descend(setting, [kept[pruning] for pruning in partners], drawn)
        for pruning, weight in zip(partners, paths, strict=True):
            sets = {"kept": kept[pruning], "full": data}
            losses = [_mean_loss(weight, sets[name]) for name in setting.losses]
            arrays[pruning] = [weight, *losses]
    return arrays


def descend(
    setting: Setting, kept: list[SineData], batches: Iterable[np.ndarray]
) -> list[np.ndarray]:
    r"""SGD, :math:`w_{t+1} = w_t - \eta\, \overline{f_i'(w_t)}`, the same batches on each set."""
    shape = (len(setting.starts), len(setting.learning_rates), len(kept[0].x))
    starts = np.array(setting.starts)[:, None, None]
    rates = np.array(setting.learning_rates)[:, None]
    turned = [SineData(data.x.T.copy(), data.y.T.copy()) for data in kept]
    paths = [[np.broadcast_to(starts, shape)] for _ in kept]
    for batch in batches:
        for points, path in zip(turned, paths, strict=True):
            path.append(path[-1] - rates * _batch_gradient(points, batch, path[-1]))
    return [np.stack([path[step] for step in setting.steps]) for path in paths]


def _batch_gradient(points: SineData, batch: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The mean gradient over a batch; one point at a time keeps the arrays in the cache."""
    gradients = (sine_gradient(w, points.x.take(row), points.y.take(row)) for row in batch)
    return sum(gradients) / len(batch)


def _mean_loss(weight: np.ndarray, data: SineData) -> np.ndarray:
    """Compute the mean loss of each run's weights over its own points."""
    rows = weight.reshape(-1, weight.shape[-1])
    losses = [sine_loss(row[:, None], data.x, data.y).mean(axis=1) for row in rows]
    return np.reshape(losses, weight.shape)


def end_table(pruned: Mapping[Pruning, Paths]) -> pd.DataFrame:
    """Summarise where SGD stands, one row per pruning, start, rate and step."""
    rows = []
    for pruning, paths in pruned.items():
        losses = {"loss": population_loss(paths.weight)}
        losses |= {f"{name}_loss": getattr(paths, f"{name}_loss") for name in paths.setting.losses}
        for where in np.ndindex(paths.weight.shape[:3]):
            weights = paths.weight[where]
            near = share_interval(int(_is_near(weights).sum()), len(weights))
            row = pruning._asdict() | paths.setting.place(where) | {"num_runs": len(weights)}
            row |= near.named_columns("near") | {"weight": np.median(weights)}
            for name, values in losses.items():
                mean, se = values[where].mean(), standard_error(values[where])
                row |= {f"{name}_mean": mean, f"{name}_se": se}
            rows.append(row)
    return pd.DataFrame(rows)


def _is_near(weights: np.ndarray) -> np.ndarray:
    return np.abs(weights - WEIGHT) <= NEAR


def pair_table(pruned: Mapping[Pruning, Paths]) -> pd.DataFrame:
    """Compare LiPrune with random pruning, run by run on the same data and batch positions."""
    rows = []
    for fraction in (fraction for method, fraction in pruned if method == "liprune"):
        pair = [pruned[method, fraction] for method in ("liprune", "random")]
        losses = [
            population_loss(paths.weight) - FLOOR if paths.full_loss is None else paths.full_loss
            for paths in pair
        ]
        near = np.subtract(*(_is_near(paths.weight) for paths in pair), dtype=float)
        for where in np.ndindex(losses[0].shape[:3]):
            row = {"keep_fraction": fraction, **pair[0].setting.place(where)}
            row |= ratio_interval(*(loss[where] for loss in losses)).named_columns("ratio")
            row |= mean_interval(near[where]).named_columns("near")
            rows.append(row | {"num_runs": losses[0].shape[-1]})
    return pd.DataFrame(rows)
