"""The claims of page 09, decided by the register's rules from the recorded grids."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from experiments.cifar10.tables import (
    CELL,
    LEAST_SPAN,
    LEVEL,
    before_decay,
    contrast,
    control_difference,
    differences,
    error_speed_up,
    last_errors,
    pooled,
    select,
    to_settle_in_words,
)
from liprune_utils.book.formats import difference, relative
from liprune_utils.book.register import Claim, claim, decide, decides, margin
from liprune_utils.intervals import Estimate
from liprune_utils.speed_up import SpeedUp

SCALES = ("whole", "reduced")  # of the register; one that is not recorded yet is open
NUM_SEEDS = {"whole": 5, "reduced": 4}  # of the register
ERROR_MARGIN, SPEED_MARGIN = (
    margin("cifar-no-acceleration-b", name) for name in ("test_error_points", "speed_up")
)
NO_SPEED_UP = SpeedUp(Estimate(math.nan, math.nan, math.nan, 0), {}, ())


class Scale(NamedTuple):
    """Recorded runs of one size."""

    words: str  # for a reader, such as "all images"
    curves: pd.DataFrame
    decay: int  # the epoch at which the rate is divided first


class Comparison(NamedTuple):
    """LiPrune against random pruning in a grid, or in some cells of one."""

    error: Estimate  # mean test error from the pruning on, LiPrune minus random, in points
    speed_up: SpeedUp  # epochs to the same test errors, random over LiPrune


def compare(scale: Scale) -> Comparison:
    """Compare in test error, and in speed where enough epochs are left before the rate falls."""
    error = pooled(differences(scale.curves), "mean_error")
    early = before_decay(scale.curves, scale.decay)
    return Comparison(error, NO_SPEED_UP if early.empty else error_speed_up(early))


def compare_groups(scale: Scale) -> dict[str, Comparison]:
    """Compare in all settings, by learning rate and by the epoch of the pruning."""
    groups = {scale.words: compare(scale)}
    pruned = scale.curves[scale.curves.method == "liprune"]
    for column, name in (("learning_rate", "rate"), ("prune_epoch", "pruned at epoch")):
        for level in sorted(pruned[column].unique()):
            part = scale._replace(curves=select(scale.curves, **{column: level}))
            groups[f"{name} {level:g}"] = compare(part)
    return groups


def grid_in_words(scale: Scale, effects: pd.DataFrame) -> str:
    """Say how LiPrune compares over a grid, and in how many of its cells an interval misses zero.

    ``effects`` is the grid's table of effects.
    """
    found, cells = compare(scale), effects[effects.scope == "cell"]
    missed = cells.statistic[cells.low * cells.high > 0].value_counts()
    change = relative(found.speed_up.estimate, level=LEVEL, words=("slower", "faster"))
    num_cells, num_seeds = (cells.statistic == "mean_error").sum(), scale.curves.seed.nunique()
    return (
        f"With {scale.words}, LiPrune's mean test error is {_points(found.error)} than that of "
        f"random pruning, over all {num_cells} settings; {num_seeds} seeds, each with images of "
        f"its own. It trains {change}. Of {num_cells} intervals {missed.get('mean_error', 0)} miss "
        f"zero in the mean test error, and {missed.get('final_error', 0)} at the last epoch; by "
        f"chance a tenth would."
    )


def no_advantage(found: Comparison, control: Estimate) -> bool | None:
    """Tell whether an advantage of LiPrune is excluded, or seen; None if that is open."""
    if control.below(-ERROR_MARGIN) is not True:  # such a comparison cannot detect acceleration
        return None
    better = found.error.below(-ERROR_MARGIN)
    slower = found.speed_up.estimate.below(SPEED_MARGIN)
    if better is True or slower is False:
        return False
    return True if better is False and slower is True else None


def over_scales(answers: Mapping[str, bool | None]) -> str:
    """Turn the answers at the register's scales into a verdict."""
    found = [answers.get(name) for name in SCALES]
    if False in found:
        return "does-not-hold"
    if None not in found:
        return "holds"
    return "holds-in-part" if True in found else "inconclusive"


@decides("cifar-no-acceleration-b")
def acceleration_claim(scales: Mapping[str, Scale], *, cost: float) -> Claim:
    """Decide "no advantage of LiPrune" at each scale, in test error and in speed."""
    found = {name: compare(scale) for name, scale in scales.items()}
    controls = {name: control_difference(scale.curves) for name, scale in scales.items()}
    verdict = over_scales({name: no_advantage(found[name], controls[name]) for name in found})
    worst = min((case.error for case in found.values()), key=lambda error: error.low)
    notes = [
        _evidence(_sizes(scale), found[name], controls[name]) for name, scale in scales.items()
    ]
    notes += [_to_close(scale, found[name], cost) for name, scale in scales.items()]
    return _recorded("cifar-no-acceleration-b", worst, verdict, cost, [*notes, *_missing(scales)])


def _sizes(scale: Scale) -> str:
    pruned = scale.curves[scale.curves.method == "liprune"]
    num_seeds, num_cells = pruned.seed.nunique(), len(pruned[CELL].drop_duplicates())
    return f"{scale.words} ({num_seeds} seeds in each of {num_cells} settings)"


def _to_close(scale: Scale, found: Comparison, cost: float) -> str:
    speed = found.speed_up.estimate
    logs = Estimate(*map(math.log, speed[:3]), speed.num_runs)
    num_seeds = scale.curves.seed.nunique()
    cases = {
        "test error": (found.error, -ERROR_MARGIN), "speed": (logs, math.log(SPEED_MARGIN)),
    }  # fmt: skip
    return " ".join(
        f"The {name} with {scale.words} is open. "
        f"{to_settle_in_words(estimate, bound, num_seeds, cost)}"
        for name, (estimate, bound) in cases.items()
        if estimate.low <= bound <= estimate.high
    )


def _evidence(name: str, found: Comparison, control: Estimate) -> str:
    ahead = "random pruning" if found.error.low > 0 else "LiPrune"
    equal = found.error.low <= 0 <= found.error.high
    return (
        f"With {name} LiPrune's mean test error is {_points(found.error)} than that of random "
        f"pruning.{_speed(found.speed_up)} "
        + ("" if equal else f"An equal error is excluded, in favour of {ahead}. ")
        + f"Positive control: with more batches random pruning's is {_points(control)}."
    )


def _speed(speed_up: SpeedUp) -> str:
    flat = [f"{_cell_words(c)} ({s:.1f})" for c, s in speed_up.spans.items() if s < LEAST_SPAN]
    left_out = (
        f" Left out of the speed, since errors fall by less than {LEAST_SPAN:g} points before the "
        f"rate does: {'; '.join(flat)}."
    )
    return (_faster(speed_up) if speed_up.counted else "") + (left_out if flat else "")


def _faster(speed_up: SpeedUp) -> str:
    change = relative(speed_up.estimate, level=LEVEL, words=("slower", "faster"))
    return f" {counted_words(speed_up)}, it trains {change}."


def counted_words(speed_up: SpeedUp) -> str:
    """Say by the epoch of the pruning which settings a speed-up counts."""
    epochs = sorted({cell[CELL.index("prune_epoch")] for cell in speed_up.counted})
    return f"Pruned at epoch {' or '.join(f'{epoch:g}' for epoch in epochs)}"


def _cell_words(cell: Sequence[float]) -> str:
    """Name a setting by its rate and the epoch of its pruning."""
    _, rate, epoch, _ = cell
    return f"rate {rate:g}, pruned at epoch {epoch:g}"


@decides("cifar-performance-b")
def performance_claim(scales: Mapping[str, Scale], *, cost: float) -> Claim:
    """Decide "the loss in performance might be minimal" against random pruning."""
    largest = margin("cifar-performance-b", "test_error_points")
    gaps = {
        name: pooled(differences(scale.curves), "final_error") for name, scale in scales.items()
    }
    verdict = over_scales({name: gap.below(largest) for name, gap in gaps.items()})
    worst = max(gaps.values(), key=lambda gap: gap.high)
    notes = ["The rule compares with random pruning, not with no pruning."]
    notes += [
        f"With {scale.words} LiPrune's last test error is {_points(gaps[name])} than that of "
        f"random pruning. Where there are runs without pruning, it is "
        f"{_points(_loss_against_none(scale.curves))} than theirs."
        for name, scale in scales.items()
    ]
    return _recorded("cifar-performance-b", worst, verdict, cost, [*notes, *_missing(scales)])


def _loss_against_none(curves: pd.DataFrame) -> Estimate:
    """Estimate how much final test error LiPrune costs against no pruning, over seeds."""
    last = last_errors(curves).dropna()
    return pooled(last.assign(loss=last.liprune - last.none), "loss")


@decides("cifar-learning-rate-b", "cifar-prune-epoch-b")
def contrast_claim(claim_id: str, scales: Mapping[str, Scale], *, cost: float) -> Claim:
    """Decide whether LiPrune's difference is the same at two levels of a setting, by `whole`."""
    column, *levels = {
        "cifar-learning-rate-b": ("learning_rate", 0.1, 0.01),
        "cifar-prune-epoch-b": ("prune_epoch", 1, 5),
    }[claim_id]
    found = contrast(differences(scales["whole"].curves), column, *levels)
    notes = [
        f"With {scale.words} LiPrune's mean test error is, against random pruning's, "
        f"{_at_levels(scale, column, levels)}."
        for scale in scales.values()
    ]
    if column == "prune_epoch":
        notes.append("The paper shows both epochs, and does not say that they are alike.")
    return _recorded(claim_id, found, _inside(found, claim_id), cost, notes)


def _at_levels(scale: Scale, column: str, levels: Iterable[float]) -> str:
    word = {"learning_rate": "rate", "prune_epoch": "epoch"}[column]
    gaps = (
        (level, pooled(differences(select(scale.curves, **{column: level})), "mean_error"))
        for level in levels
    )
    return " and ".join(f"{_points(gap)} at {word} {level:g}" for level, gap in gaps)


@decides("cifar-iteration-15-b")
def late_claim(late: Scale, *, cost: float) -> Claim:
    """Decide "very similar plots" when the pruning is late."""
    error = pooled(differences(late.curves), "mean_error")
    notes = [
        f"Over {late.curves.seed.nunique()} seeds, each with images of its own. Before the pruning "
        f"there are {late.curves.prune_epoch.max() - 1} epochs, after it "
        f"{late.curves.epoch.max() - late.curves.prune_epoch.max() + 1}. The last test error is "
        f"{_points(pooled(differences(late.curves), 'final_error'))}."
    ]
    verdict = _inside(error, "cifar-iteration-15-b")
    if verdict == "inconclusive":
        bound = math.copysign(margin("cifar-iteration-15-b", "test_error_points"), error.value)
        notes.append(to_settle_in_words(error, bound, late.curves.seed.nunique(), cost))
    return _recorded("cifar-iteration-15-b", error, verdict, cost, notes)


def _inside(gap: Estimate, claim_id: str) -> str:
    largest = margin(claim_id, "test_error_points")
    return decide([gap.within(-largest, largest)], in_part=False)


def _points(gap: Estimate) -> str:
    return difference(gap, "points", level=LEVEL)


def _missing(scales: Mapping[str, Scale]) -> list[str]:
    """Say what is not recorded yet of what the register's rule asks for."""
    return [*filter(None, (_missing_of(scales.get(name), name) for name in SCALES))]


def _missing_of(scale: Scale | None, name: str) -> str:
    if scale is None:
        return f"The grid {name}, in which each seed has images of its own, is not recorded yet."
    count, wanted = scale.curves.seed.nunique(), NUM_SEEDS[name]
    return f"Recorded so far: {count} of {wanted} seeds of the grid {name}." * (count < wanted)


def _recorded(
    claim_id: str, estimate: Estimate, verdict: str, cost: float, notes: Iterable[str]
) -> Claim:
    note = " ".join(filter(None, notes))
    return claim(claim_id, estimate, verdict, cost=cost, note=note, source="recorded")
