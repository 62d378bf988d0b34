r"""LiPrune against random pruning, no pruning and importance sampling on real convex data.

scikit-learn's bundled tables, each with the loss that suits it. A seed decides the train/test
split, random pruning's choice and the batches. All methods see the same splits; LiPrune and random
pruning also draw the same positions in their lists of kept points.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from pydantic import Field
from sklearn import datasets

from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import require
from liprune_utils.problems import LOGISTIC, MULTINOMIAL, SQUARED, Loss, Objective, standardise
from liprune_utils.pruning import num_kept, rank
from liprune_utils.theory import optimal

SOURCES = {
    "breast cancer": (datasets.load_breast_cancer, LOGISTIC),
    "digits": (datasets.load_digits, MULTINOMIAL),
    "diabetes": (datasets.load_diabetes, SQUARED),
}
DATA = f"generated data; {', '.join(SOURCES)} of scikit-learn"
TRAIN_FRACTION = 0.75
BATCH_SIZE, NUM_STEPS, KEEP_FRACTIONS = 10, 300, (0.1, 0.3, 0.5)
TARGET = 0.1  # excess at which a run has arrived
MULTIPLES = 2.0 ** np.arange(-2, 12)  # step sizes tried, in units of 1 / (2 max L)
STREAMS = {"split": 0, "choice": 1, "batches": 2, "importance": 3, "example": 4}
STREAMS |= {"head_batches": 5, "head_order": 6}


class ConvexParameters(Parameters):
    """Parameters of page 06."""

    num_problems: int = Field(ge=10, le=10**5)  # data sets of each convex problem
    num_runs: int = Field(ge=1000, le=10**6)  # simulated runs that check the exact losses
    seed: int = Field(ge=0)  # root of all random streams


class Split(NamedTuple):
    """A data set, split: what is minimised, and what is watched."""

    train: Objective
    test: Objective  # without the ridge


def load(name: str, generator: np.random.Generator) -> Split:
    r"""Load a data set and split it at random, three quarters for training.

    Features, and the label of diabetes, are standardised on the training points. A column of ones
    follows for the intercept. The two classification problems have the ridge :math:`\rho = 1 / n`,
    which is scikit-learn's default penalty ``C = 1`` on n training points, here on the intercept
    too.
    """
    require(name in SOURCES, "data set", name, f"one of {', '.join(SOURCES)}")
    source, loss = SOURCES[name]
    bunch = source()
    order = generator.permutation(len(bunch.target))
    count = round(TRAIN_FRACTION * len(order))
    x = np.column_stack([standardise(bunch.data[order], count), np.ones(len(order))])
    y = _labels(loss, bunch.target[order], count)
    ridge = 0.0 if loss is SQUARED else 1 / count
    train = Objective(loss, x[:count], y[:count], ridge)
    return Split(train, Objective(loss, x[count:], y[count:], 0.0))


def _labels(loss: Loss, target: np.ndarray, count: int) -> np.ndarray:
    """Labels beside the scores, [num_points, num_scores]: one-hot, 0 and 1, or standardised."""
    if loss is MULTINOMIAL:
        return np.eye(target.max() + 1)[target]
    values = target.astype(float)[:, None]
    return values if loss is LOGISTIC else standardise(values, count)


class Setting(NamedTuple):
    """A method and the fraction of the points that it keeps."""

    method: str  # "liprune", "random", "none" or "importance"
    keep_fraction: float


NONE, IMPORTANCE = Setting("none", 1.0), Setting("importance", 1.0)
PRUNED = [Setting(method, r) for r in KEEP_FRACTIONS for method in ("liprune", "random")]
SETTINGS = [*PRUNED, NONE, IMPORTANCE]


def recorded_steps() -> np.ndarray:
    """List the steps at which losses are recorded: 0, then about 15% apart, to the last."""
    count = 1 + round(7 * np.log(NUM_STEPS))
    return np.unique([0, *np.geomspace(1, NUM_STEPS, count).round().astype(int)])


def stream(root: tuple[int, ...], purpose: str, *keys: int) -> np.random.Generator:
    """Open a random stream of its own for one purpose."""
    return np.random.default_rng([*root, STREAMS[purpose], *keys])


def kept_points(lipschitz: np.ndarray, setting: Setting, root: tuple[int, ...]) -> np.ndarray:
    """Choose the points that a method keeps."""
    count = num_kept(len(lipschitz), setting.keep_fraction)
    if setting.method == "liprune":
        return rank(lipschitz)[:count]
    return stream(root, "choice").permutation(len(lipschitz))[:count]


class Draws(NamedTuple):
    """What each method draws in each step: arrays ``[num_steps, num_settings, BATCH_SIZE]``."""

    points: np.ndarray
    factors: np.ndarray  # weights of the points' gradients


def draw(lipschitz: np.ndarray, root: tuple[int, ...], num_steps: int = NUM_STEPS) -> Draws:
    r"""Draw the batches of all methods.

    Distinct points of those kept, afresh in each step, with weight 1; importance sampling draws
    with replacement, :math:`p_i \propto L_i`, and weighs by :math:`1 / (n p_i)`.
    """
    points = [
        kept[positions(len(kept), root, num_steps)]
        for kept in (kept_points(lipschitz, setting, root) for setting in SETTINGS[:-1])
    ]
    chances = optimal(lipschitz)
    generator = stream(root, "importance")
    chosen = generator.choice(len(lipschitz), (num_steps, BATCH_SIZE), p=chances)
    weights = 1 / (len(lipschitz) * chances[chosen])
    factors = [np.ones_like(weights)] * len(points)
    return Draws(np.stack([*points, chosen], axis=1), np.stack([*factors, weights], axis=1))


def positions(count: int, root: tuple[int, ...], num_steps: int) -> np.ndarray:
    """Draw distinct positions in a list of kept points, the same for all lists of one length."""
    expected = f"more than the batch size {BATCH_SIZE}"
    require(count > BATCH_SIZE, "number of points kept", count, expected)
    uniforms = stream(root, "batches", count).random((num_steps, count))
    return uniforms.argpartition(BATCH_SIZE, axis=1)[:, :BATCH_SIZE]


def sgd_iterates(train: Objective, draws: Draws, step_sizes: np.ndarray) -> Iterator[np.ndarray]:
    r"""Run SGD from :math:`W_0 = 0` for all methods and many step sizes at once.

    :math:`W_{t+1} = W_t - \frac\eta B \sum_{i \in S_t} c_i \nabla f_i(W_t)`.
    """
    weights = np.zeros((*step_sizes.shape, train.y.shape[-1], train.x.shape[-1]))
    yield weights
    for points, factors in zip(*draws, strict=True):
        gradient = train.take(points[:, None]).gradient(weights, factors[:, None])
        weights = weights - step_sizes[..., None, None] * gradient
        yield weights


def excess(train: Objective, weights: np.ndarray) -> np.ndarray:
    """Compute the share of the way from F(0) to the minimum that is left; infinite at overflow."""
    first, least = train.ends
    return _finite((train.value(weights) - least) / (first - least))


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.inf)


class Outcome(NamedTuple):
    """One run of all methods and step sizes."""

    excess: np.ndarray  # at the recorded steps, [num_records, num_settings, num_sizes]
    test_loss: np.ndarray  # after the last step, [num_settings, num_sizes]

    @property
    def steps(self) -> np.ndarray:
        """First recorded step with an excess of at most ``TARGET``; infinite if there is none."""
        there = self.excess <= TARGET
        first = recorded_steps()[there.argmax(axis=0)]
        return np.where(there.any(axis=0), first, np.inf)


def run(split: Split, root: tuple[int, ...], multiples: np.ndarray) -> Outcome:
    r"""Run all methods on one split, with step sizes in units of :math:`1 / (2 \max_i L_i)`.

    The step size of Theorem 1, :math:`\mu\epsilon / (2\mu\epsilon L_{\sup} + 2\sigma^2)`,
    approaches that unit without noise.
    """
    train, watched, records = split.train, set(recorded_steps()), []
    step_sizes = multiples / (2 * train.lipschitz.max())
    iterates = sgd_iterates(train, draw(train.lipschitz, root), step_sizes)
    with np.errstate(over="ignore", invalid="ignore"):  # too large a step: the loss is infinite
        for step, weights in enumerate(iterates):
            if step in watched:
                # A method at a time, for which the scores of all points fit into the cache.
                records.append([excess(train, of_one) for of_one in weights])
        return Outcome(np.array(records), _finite(split.test.value(weights)))
