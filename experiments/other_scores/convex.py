r"""LiPrune against other scores on convex problems: each keeps as many points, and SGD is the same.

GraNd keeps the largest gradients, EL2N the largest errors (Paul et al., arXiv 2107.07075). Both,
and the loss, depend on the weights at which they are taken; :math:`L_i` does not. Points that tie
are taken in the order of random pruning, so that a constant score is random pruning.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from experiments.convex_is_not_enough.runs import (
    MULTIPLES,
    NUM_STEPS,
    SOURCES,
    Draws,
    Split,
    excess,
    load,
    positions,
    sgd_iterates,
    stream,
)
from experiments.convex_is_not_enough.tables import NUM_TUNING, TUNING
from experiments.linear_model.runs import NUM_POINTS, NUM_TEST
from experiments.linear_model.runs import NUM_STEPS as LINEAR_STEPS
from liprune_utils.problems import SQUARED, Objective, draw_linear
from liprune_utils.pruning import num_kept, overlap, rank

LINEAR = "linear model"
PROBLEMS = (LINEAR, *SOURCES)
LINEAR_RATES = {"0.005": 0.005, "0.01": 0.01, "0.05": 0.05}  # of the paper's Figures 5, 1 and 6
THEOREM, TUNED = "1/(2 max L)", "tuned for no pruning"
KEEP_FRACTIONS = (0.1, 0.3, 0.5, 0.7)  # the paper's, Figure 1
SHARES = (1 / 6, 1 / 3, 2 / 3, 1)  # of the steps: 5, 10, 20 and 30 of the linear model's
START, LATER = "at the start", "after a third of the steps"  # when scores are taken
NEVER = "uses no weights"
RACING = 2  # role of the seeds, apart from those of page 06


class Entrant(NamedTuple):
    """A way to prune: a score, when it is taken, and the fraction kept."""

    method: str  # "liprune", "random", "grand", "el2n" or "loss"
    taken: str
    keep_fraction: float


WAYS = (
    ("liprune", NEVER), ("random", NEVER),
    *product(("grand", "el2n", "loss"), (START, LATER)),
)  # fmt: skip
ENTRANTS = [Entrant(*way, fraction) for fraction in KEEP_FRACTIONS for way in WAYS]


def draw_split(name: str, root: tuple[int, ...]) -> Split:
    """Draw the training and test points of a run."""
    generator = stream(root, "split")
    if name != LINEAR:
        return load(name, generator)
    sets = [draw_linear(generator, 1, count) for count in (NUM_POINTS, NUM_TEST)]
    return Split(*(Objective(SQUARED, s.x[0, :, None], s.y[0, :, None], 0.0) for s in sets))


def _point_scores(train: Objective, weights: np.ndarray) -> dict[str, np.ndarray]:
    r"""Score the points of a problem at some weights.

    With the error :math:`e_i = \nabla_z \phi(W x_i, y_i)`, which is :math:`p - e_y` for
    classification and the residual for least squares: EL2N's :math:`\|e_i\|`, the loss
    :math:`\phi(W x_i, y_i)`, and GraNd's :math:`\|\nabla f_i\| = \|e_i x_i^\top + \rho W\|`.
    """
    outputs, labels = weights @ train.x.T, train.y.T
    error = train.loss.mean(outputs) - labels  # [num_scores, n]
    squares, pull = (error**2).sum(axis=0), train.ridge
    gradients = squares * (train.x**2).sum(axis=1) + 2 * pull * (error * outputs).sum(axis=0)
    gradients = np.maximum(gradients + pull**2 * (weights**2).sum(), 0)
    scores = {"grand": np.sqrt(gradients), "el2n": np.sqrt(squares)}
    scores |= {"loss": train.loss.value(outputs, labels)}
    return {name: np.round(score, 12) for name, score in scores.items()}


def kept_points(train: Objective, later: np.ndarray, root: tuple[int, ...]) -> list[np.ndarray]:
    """List the points that each entrant keeps, with the later scores taken at weights ``later``."""
    shuffled = stream(root, "choice").permutation(len(train.x))
    scores = {("liprune", NEVER): train.lipschitz, ("random", NEVER): np.zeros(len(train.x))}
    for taken, weights in ((START, 0 * later), (LATER, later)):
        scores |= {(n, taken): s for n, s in _point_scores(train, weights).items()}
    orders = {way: shuffled[rank(score[shuffled])] for way, score in scores.items()}
    return [orders[e[:2]][: num_kept(len(train.x), e.keep_fraction)] for e in ENTRANTS]


def _train_on(
    train: Objective,
    chosen: Sequence[np.ndarray],
    root: tuple[int, ...],
    rates: np.ndarray,
    steps: Sequence[int],
) -> list[np.ndarray]:
    """Run SGD from zero on several sets of kept points, in the same order of positions."""
    drawn = [points[positions(len(points), root, steps[-1])] for points in chosen]
    draws = np.stack(drawn, axis=1)
    sizes = np.broadcast_to(rates, (len(chosen), len(rates)))
    iterates = sgd_iterates(train, Draws(draws, np.ones(draws.shape)), sizes)
    return [weights for step, weights in enumerate(iterates) if step in steps]


def compared_steps(name: str) -> list[int]:
    """List the steps at which a problem's test losses are compared."""
    return [round(share * (LINEAR_STEPS if name == LINEAR else NUM_STEPS)) for share in SHARES]


def _tuned_multiple(name: str, seed: int, num_tuning: int = NUM_TUNING) -> float:
    """Tune the step size of no pruning as page 06 does, on runs that report nothing."""
    last = []
    for number in range(num_tuning):
        root = (seed, TUNING, number)
        train = draw_split(name, root).train
        shuffled = stream(root, "choice").permutation(len(train.x))
        rates = MULTIPLES / (2 * train.lipschitz.max())
        with np.errstate(over="ignore", invalid="ignore"):  # too large a step
            (weights,) = _train_on(train, [shuffled], root, rates, [NUM_STEPS])
            last.append(excess(train, weights[0]))
    return float(MULTIPLES[np.mean(last, axis=0).argmin()])


def common_rates(name: str, seed: int) -> dict[str, float]:
    """List the step sizes at which all entrants race; none is tuned for one of them."""
    if name == LINEAR:
        return LINEAR_RATES
    tuned = _tuned_multiple(name, seed)
    return {THEOREM: 1.0} | ({TUNED: tuned} if tuned != 1 else {})


class Contest(NamedTuple):
    """One run of all entrants."""

    test_loss: np.ndarray  # [num_steps, num_entrants]
    shared: np.ndarray  # share of the kept points that LiPrune keeps too, [num_entrants]


def contest(name: str, root: tuple[int, ...], rate: float) -> Contest:
    """Prune by every entrant's score, and train on each kept set from the same start.

    The later scores are taken in training without pruning, at the same step size; its steps are
    not counted.
    """
    split, steps = draw_split(name, root), compared_steps(name)
    train = split.train
    rates = np.array([rate]) / (1.0 if name == LINEAR else 2 * train.lipschitz.max())
    (later,) = _train_on(train, [np.arange(len(train.x))], root, rates, steps[1:2])
    chosen = kept_points(train, later[0, 0], root)
    losses = [split.test.value(w[:, 0]) for w in _train_on(train, chosen, root, rates, steps)]
    liprune = [chosen[at - at % len(WAYS)] for at in range(len(ENTRANTS))]
    pairs = zip(chosen, liprune, strict=True)
    return Contest(np.array(losses), np.array([overlap(kept, other) for kept, other in pairs]))
