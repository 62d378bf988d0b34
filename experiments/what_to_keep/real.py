r"""Real data with a convex loss: the optimal design of the inputs against other ways to prune.

The data sets of page 06, and its convex head. The design is V-optimal for the inputs with their
constant column, whose order does not depend on coordinates: it minimises
:math:`\mathrm{tr}(M M_K^{-1})`, the variance of predictions. A split decides which points train and
test; all methods see the same splits, and draw the same positions in their lists of kept points.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from experiments.convex_is_not_enough import convex_head
from experiments.convex_is_not_enough import runs as convex
from experiments.convex_is_not_enough.runs import BATCH_SIZE, SOURCES, Split, load
from experiments.other_scores.convex import descend
from experiments.other_scores.figures import BARS
from liprune_utils.book.register import load_register
from liprune_utils.book.style import METHODS, facets
from liprune_utils.designs import leverages, optimal_design
from liprune_utils.files import PROJECT, read_json, read_table
from liprune_utils.intervals import Estimate, mean_interval, ratio_interval
from liprune_utils.problems import Objective
from liprune_utils.pruning import num_kept, rank
from liprune_utils.sgd import distinct_batches
from liprune_utils.streams import StreamFamily

CLAIM = "design-real"
RECORDED, HEAD = "book/results/12_what_to_keep", "convex head"
DATA_SETS = (*SOURCES, HEAD)
DATA = f"{convex.DATA}; features of CIFAR-10"
KEEP_FRACTIONS, STEPS = (0.1, 0.3), (100, 1000)
NUM_SPLITS, NUM_TUNING = 20, 10  # splits that race, and others that tune
MULTIPLES = 2.0 ** np.arange(-6, 12)  # step sizes tried, in units of 1 / (2 max L) of the kept
TUNING, RACING = 0, 1
OVERFLOW = 1e100  # in place of a loss that is no number
stream = StreamFamily({"split": 60, "choice": 61, "batches": 62})
LABELS = {
    "design": "optimal design",
    "leverage": "leverage",
    "liprune": "LiPrune",
    "none": "no pruning",
    "random": "random pruning",
}
LOOKS = {
    "design": {"color": "#009E73", "marker": "^"},
    "leverage": {"color": "#CC79A7", "marker": "D"},
    "liprune": {"color": METHODS["liprune"]["color"], "marker": "o"},
    "none": {"color": METHODS["none"]["color"], "marker": "s"},
}
RATIOS = (0.3, 0.5, 1, 2, 3)  # ticks
PAIRS = (
    *(("design", other) for other in ("random", "liprune", "leverage", "none")),
    *((method, "random") for method in ("leverage", "liprune", "none")),
)


class Entrant(NamedTuple):
    """A way to prune, and the fraction of the points that it keeps."""

    method: str
    keep_fraction: float


NONE = Entrant("none", 1.0)
ENTRANTS = (*(Entrant(*e) for e in product(("design", "leverage", "liprune", "random"),
                                           KEEP_FRACTIONS)), NONE)  # fmt: skip


class Problem(NamedTuple):
    """A data set that can be split at random."""

    name: str
    draw: Callable[[np.random.Generator], Split]
    batch_size: int


def small_problems() -> list[Problem]:
    """List the data sets of scikit-learn, split as on page 06."""
    return [Problem(name, partial(load, name), BATCH_SIZE) for name in SOURCES]


def head_problem(train: Objective, test: Objective) -> Problem:
    """Make the convex head a problem: a split takes half of its images of each kind."""

    def half(points: Objective, generator: np.random.Generator) -> Objective:
        return points.take(generator.permutation(len(points.x))[: len(points.x) // 2])

    return Problem(HEAD, lambda g: Split(half(train, g), half(test, g)), convex_head.BATCH_SIZE)


def kept_points(train: Objective, generator: np.random.Generator) -> list[np.ndarray]:
    """List the points that each entrant keeps; of equal scores, in the order of random pruning."""
    shuffled = generator.permutation(len(train.x))
    scores = {"random": np.zeros(len(train.x)), "liprune": train.lipschitz}
    scores |= {"leverage": leverages(train.x), "none": scores["random"]}
    orders = {name: shuffled[rank(values[shuffled])] for name, values in scores.items()}
    return [
        optimal_design(train.x, entrant.keep_fraction, "V").kept
        if entrant.method == "design"
        else orders[entrant.method][: num_kept(len(train.x), entrant.keep_fraction)]
        for entrant in ENTRANTS
    ]


def race(
    problem: Problem, purpose: int, number: int, seed: int, multiples: np.ndarray
) -> np.ndarray:
    """Run SGD for all entrants on one split, at step sizes ``[num_entrants, num_sizes]``.

    Returns the test losses after each number of steps, ``[num_steps, num_entrants, num_sizes]``.
    """
    keys = purpose, DATA_SETS.index(problem.name), number
    split = problem.draw(stream(seed, "split", *keys))
    kept = kept_points(split.train, stream(seed, "choice", *keys))
    largest = np.array([split.train.lipschitz[points].max() for points in kept])
    drawn = [_draw(points, problem.batch_size, seed, keys) for points in kept]
    iterates = descend(split.train, np.stack(drawn, axis=1), multiples / (2 * largest[:, None]))
    with np.errstate(over="ignore", invalid="ignore"):  # too large a step
        watched = [weights for step, weights in enumerate(iterates, start=1) if step in STEPS]
        losses = np.array([[split.test.value(own) for own in weights] for weights in watched])
    return np.where(losses < OVERFLOW, losses, OVERFLOW)


def _draw(points: np.ndarray, batch_size: int, seed: int, keys: tuple[int, ...]) -> np.ndarray:
    """Draw distinct points of those kept for every step, ``[num_steps, batch_size]``."""
    generator = stream(seed, "batches", *keys, len(points))
    batches = distinct_batches(generator, 1, len(points), batch_size, STEPS[-1])
    return points[np.array([batch[:, 0].copy() for batch in batches])]


def tune(problem: Problem, seed: int) -> np.ndarray:
    """Find the step sizes with the lowest mean test loss, ``[num_entrants, num_steps]``."""
    tried = np.tile(MULTIPLES, (len(ENTRANTS), 1))
    splits = tqdm(range(NUM_TUNING), desc=f"{problem.name}: step sizes")
    losses = np.mean([race(problem, TUNING, n, seed, tried) for n in splits], axis=0)
    return MULTIPLES[losses.argmin(axis=-1)].T


def run_problem(problem: Problem, seed: int, num_splits: int = NUM_SPLITS) -> pd.DataFrame:
    """Tune, then race each entrant at its own step sizes: one row per split, entrant and step."""
    tuned, rows = tune(problem, seed), []
    for number in tqdm(range(num_splits), desc=f"{problem.name}: races"):
        losses = race(problem, RACING, number, seed, tuned)
        for (at, step), (place, entrant) in product(enumerate(STEPS), enumerate(ENTRANTS)):
            facts = {"data_set": problem.name, "split": number, **entrant._asdict(), "step": step}
            facts |= {"multiple": tuned[place, at], "test_loss": losses[at, place, at]}
            rows.append(facts)
    return pd.DataFrame(rows)


def run_small(seed: int, num_splits: int = NUM_SPLITS) -> pd.DataFrame:
    """Race on the data sets of scikit-learn."""
    return pd.concat([run_problem(each, seed, num_splits) for each in small_problems()])


def recorded_head() -> tuple[pd.DataFrame, dict[str, object]]:
    """Read the recorded races on the convex head, and their provenance."""
    folder = PROJECT / RECORDED
    return read_table(folder / "head.csv"), read_json(folder / "head.json")


def ratio_table(losses: pd.DataFrame) -> pd.DataFrame:
    """Compare methods in each case, paired by split: test losses, and excesses over the best.

    The best of a split is the lower test loss of no pruning after the two numbers of steps. It
    cancels in a ratio of losses over the best, but not in a ratio of mean excesses, which no
    pruning has too little of to be compared with.
    """
    level, rows = load_register()[CLAIM]["level"], []
    for facts, case in _cases(losses):
        for method, against in PAIRS:
            ours, theirs = case[method], case[against]
            found = mean_interval(np.log(ours / theirs), level)
            excess = Estimate(np.nan, np.nan, np.nan, len(case))
            if against != "none":
                excess = ratio_interval(ours - case.best, theirs - case.best, level)
            over_best = {"loss_over_best": np.exp(np.log(ours / case.best).mean())}
            pair = facts | {"method": method, "against": against} | over_best
            rows.append(pair | found.columns("log_ratio") | excess.named_columns("excess_ratio"))
    return pd.DataFrame(rows).rename(columns={"num_runs": "num_splits"})


def _cases(losses: pd.DataFrame) -> Iterator[tuple[dict[str, object], pd.DataFrame]]:
    """Lay out each case, one row per split and one column per method, beside the best loss."""
    for name, of_set in losses.groupby("data_set", sort=False):
        none = of_set[of_set.method == "none"]
        best = none.groupby("split").test_loss.min()
        for fraction, step in product(KEEP_FRACTIONS, STEPS):
            here = of_set[of_set.keep_fraction.isin([fraction, 1]) & (of_set.step == step)]
            wide = here.pivot(index="split", columns="method", values="test_loss")
            facts = {"data_set": name, "keep_fraction": fraction, "step": step}
            yield facts, wide.assign(best=best)


def tuned_table(losses: pd.DataFrame) -> pd.DataFrame:
    """List the step sizes that were chosen, and which of them are the last ones tried."""
    keys = ["data_set", *Entrant._fields, "step", "multiple"]
    ends = MULTIPLES[[0, -1]]
    return losses[keys].drop_duplicates().assign(at_an_end=lambda t: t.multiple.isin(ends))


def worst_cases(ratios: pd.DataFrame) -> dict[str, Estimate]:
    """Find the design's least favourable case against random pruning on each data set."""
    here = ratios[(ratios.method == "design") & (ratios.against == "random")]
    worst = here.loc[here.groupby("data_set", sort=False).log_ratio.idxmax()]
    rows = worst.rename(columns={"num_splits": "num_runs"}).itertuples()
    return {row.data_set: Estimate(row.log_ratio, row.low, row.high, row.num_runs).exp()
            for row in rows}  # fmt: skip


def real_figure(ratios: pd.DataFrame) -> Figure:
    """Draw each method's test loss over random pruning's, on every data set."""
    here = ratios[ratios.against == "random"]
    places = list(product(here.data_set.unique(), KEEP_FRACTIONS))

    def draw(axes: Axes, step: int) -> None:
        axes.set_xscale("log")
        axes.set_xticks(RATIOS, [f"{value:g}" for value in RATIOS])
        axes.minorticks_off()
        axes.axvline(1, color="black", linewidth=1)
        rows = here[here.step == step]
        for offset, name in zip((0.3, 0.1, -0.1, -0.3), LOOKS, strict=True):
            own = rows[rows.method == name].set_index(["data_set", "keep_fraction"]).loc[places]
            value, low, high = np.exp(own[["log_ratio", "low", "high"]].to_numpy().T)
            bars, heights = np.array([value - low, high - value]), offset - np.arange(len(places))
            axes.errorbar(value, heights, xerr=bars, label=LABELS[name], **(BARS | LOOKS[name]))

    names = [f"{name}, keep {fraction:g}" for name, fraction in places]
    return facets(
        {f"after {step} steps": step for step in STEPS}, draw,
        xlabel="test loss, method / random pruning", ylabel="", height=5.6, legend=4,
        yticks=-np.arange(len(places)), yticklabels=names,
    )  # fmt: skip
