"""Page 09's claims: each branch of each rule, on grids with known effects."""

import math
import re
from dataclasses import astuple

import pytest
from cifar_grid import grid_curves, no_effect

from experiments.cifar10.claims import (
    NO_SPEED_UP,
    Comparison,
    Scale,
    acceleration_claim,
    compare,
    compare_groups,
    contrast_claim,
    late_claim,
    no_advantage,
    over_scales,
    performance_claim,
)
from experiments.cifar10.tables import control_difference, differences, pooled, select
from liprune_utils.book.register import load_register
from liprune_utils.intervals import Estimate
from liprune_utils.speed_up import SpeedUp

DECAY = 9  # after the last epoch, so that the settings that prune at epoch 1 have eight
CONTROL = Estimate(-10.0, -11.0, -9.0, 24)


def constant(points: float):
    return lambda *_: points


def spread(points: float):
    """Effects that differ between seeds by several ``points``, with mean zero."""
    return lambda *key: points * (key[-1] - 1)


def scale(effect=no_effect, *, words: str = "all images", **options) -> Scale:
    return Scale(words, grid_curves(effect, **options), DECAY)


def small(effect=no_effect, **options) -> Scale:
    """As few settings as the grid `whole` has: one depth, one fraction, and the control."""
    found = scale(effect, **options)
    rows = found.curves[found.curves.depth == 14]
    more = (rows.keep_fraction == 0.5) & ((rows.method != "random") | (rows.prune_epoch == 5))
    return found._replace(curves=rows[~(more | (more & (rows.learning_rate == 0.01)))])


def comparison(error: tuple[float, float], speed: tuple[float, float]) -> Comparison:
    estimates = [Estimate(sum(ends) / 2, *ends, 4) for ends in (error, speed)]
    return Comparison(estimates[0], SpeedUp(estimates[1], {"cell": 9.0}, ("cell",)))


@pytest.mark.parametrize(
    ("error", "speed", "answer"),
    [
        ((-0.9, 0.9), (0.9, 1.09), True),
        ((2.0, 3.0), (0.5, 0.7), True),  # far behind is no advantage, either
        ((-1.1, 0.9), (0.9, 1.05), None),
        ((-0.9, 0.9), (0.9, 1.11), None),
        ((-1.0, 0.9), (0.9, 1.05), None),  # the margin itself is not inside
        ((-2.0, -1.1), (0.9, 1.05), False),
        ((-0.9, 0.9), (1.11, 1.2), False),
        ((-2.0, -1.1), (math.nan, math.nan), False),
        ((-0.9, 0.9), (math.nan, math.nan), None),  # without a speed nothing is excluded
    ],
)
def test_no_advantage_needs_both_measures_and_an_advantage_one(error, speed, answer):
    assert no_advantage(comparison(error, speed), CONTROL) is answer


@pytest.mark.parametrize("control", [(-10.0, -21.0, 1.0), (-1.0, -1.5, -0.9), (5.0, 4.0, 6.0)])
@pytest.mark.parametrize("error", [(-0.1, 0.1), (-3.0, -2.0)])
def test_nothing_is_decided_where_the_control_is_not_seen(error, control):
    assert no_advantage(comparison(error, (0.9, 1.0)), Estimate(*control, 9)) is None


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ((True, True), "holds"), ((True, None), "holds-in-part"), ((None, True), "holds-in-part"),
        ((None, None), "inconclusive"), ((False, True), "does-not-hold"),
        ((None, False), "does-not-hold"),
    ],
)  # fmt: skip
def test_a_verdict_needs_both_scales(answers, verdict):
    assert over_scales(dict(zip(("whole", "reduced"), answers, strict=True))) == verdict


def test_a_scale_that_is_not_recorded_is_open():
    assert over_scales({"whole": True}) == "holds-in-part"
    assert over_scales({"whole": False}) == "does-not-hold"
    assert over_scales({"whole": None}) == "inconclusive"


def test_errors_and_speeds_are_compared():
    found = compare(scale(constant(-0.5)))
    assert found.error == pytest.approx((-0.5, -0.5, -0.5, 48))
    assert {cell[2] for cell in found.speed_up.counted} == {1}  # at epoch 5 four epochs are left
    assert len(found.speed_up.counted) == 8
    slow = compare(scale(stretch=2.0)).speed_up.estimate
    assert slow.value == pytest.approx(0.5)
    late = scale(prune_epochs=(5,))
    assert compare(late).speed_up == NO_SPEED_UP


def test_few_settings_are_fixed_and_seeds_alone_random():
    rows = small(lambda depth, rate, pruned, keep, seed: seed + 5 * (pruned == 5)).curves
    found = compare(Scale("all images", rows, DECAY)).error
    table = differences(rows)
    assert len(table) == 4 * 3
    assert found == pooled(table, "mean_error")
    by_seed = table.groupby("seed").mean_error.mean()
    assert found.value == pytest.approx(by_seed.mean())
    half = 2.92 * by_seed.std() / math.sqrt(3)  # Student's, two degrees of freedom
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), 1e-3)


def test_groups_are_compared_by_their_own_runs():
    whole = small(lambda depth, rate, *_: -3.0 * (rate == 0.1))
    found = compare_groups(whole)
    assert list(found) == [
        "all images", "rate 0.01", "rate 0.1", "pruned at epoch 1", "pruned at epoch 5",
    ]  # fmt: skip
    errors = {name: case.error.value for name, case in found.items()}
    assert list(errors.values()) == pytest.approx([-1.5, 0, -3, -1.5, -1.5])
    one = whole._replace(curves=select(whole.curves, learning_rate=0.1, prune_epoch=1))
    assert list(compare_groups(one)) == ["all images", "rate 0.1", "pruned at epoch 1"]


@pytest.mark.parametrize(
    ("whole", "reduced", "verdict"),
    [
        (constant(0.0), constant(0.0), "holds"),
        (constant(3.0), constant(0.5), "holds"),
        (constant(0.0), constant(-1.1), "does-not-hold"),
        (constant(0.0), spread(3.0), "holds-in-part"),
        (spread(3.0), spread(3.0), "inconclusive"),
    ],
)
def test_no_acceleration_is_decided_at_both_scales(whole, reduced, verdict):
    scales = {"whole": small(whole), "reduced": scale(reduced, words="a tenth")}
    found = acceleration_claim(scales, cost=7)
    assert (found.id, found.verdict) == ("cifar-no-acceleration-b", verdict)
    assert (found.cost, found.source) == (7, "recorded")
    errors = [pooled(differences(one.curves), "mean_error") for one in scales.values()]
    assert found.low == min(error.low for error in errors)


def test_no_acceleration_says_what_it_rests_on():
    note = acceleration_claim({"whole": small(stretch=1.25)}, cost=1).note
    assert "With all images (3 seeds in each of 4 settings) LiPrune's mean test error is" in note
    assert re.search(r"Pruned at epoch 1, it trains 20\S* slower", note)
    assert "An equal error is excluded, in favour of random pruning." in note
    ahead = acceleration_claim({"whole": small(constant(-0.5))}, cost=1).note
    assert "An equal error is excluded, in favour of LiPrune." in ahead
    assert "Positive control: with more batches random pruning's is 10" in note
    assert "Recorded so far: 3 of 5 seeds of the grid whole." in note
    assert note.endswith("each seed has images of its own, is not recorded yet.")
    late = acceleration_claim({"whole": small(prune_epochs=(5,))}, cost=1).note
    assert "trains" not in late
    flat = small()
    flat = flat._replace(curves=flat.curves.assign(test_error=50 + flat.curves.test_error / 20))
    note = acceleration_claim({"whole": flat}, cost=1).note
    assert "Left out of the speed, since errors fall by less than 3 points before the rate" in note
    assert "does: rate 0.01, pruned at epoch 1 (0.9); rate 0.1, pruned at epoch 1 (0.9)." in note
    assert "excluded" not in acceleration_claim({"whole": small(spread(1.0))}, cost=1).note


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [
        (constant(0.9), "holds"),
        (constant(-3.0), "holds"),  # better by more than the margin is no loss
        (constant(1.1), "does-not-hold"),
        (spread(3.0), "inconclusive"),
    ],
)
def test_performance_is_of_the_last_errors(effect, verdict):
    scales = {"whole": small(effect), "reduced": scale(effect)}
    found = performance_claim(scales, cost=7)
    assert (found.id, found.verdict, found.source) == ("cifar-performance-b", verdict, "recorded")
    assert found.estimate == pytest.approx(effect(0.0, 1), abs=1e-9)


def test_performance_reports_the_loss_against_no_pruning():
    note = performance_claim({"whole": small(constant(2.0))}, cost=1).note
    assert re.search(r"Where there are runs without pruning, it is 2\S* points higher.* than", note)


@pytest.mark.parametrize(
    ("claim_id", "column"),
    [("cifar-learning-rate-b", 1), ("cifar-prune-epoch-b", 2)],
)
@pytest.mark.parametrize(
    ("gap", "verdict"), [(0.9, "holds"), (-1.1, "does-not-hold"), (1.1, "does-not-hold")]
)
def test_levels_are_contrasted_on_all_images(claim_id, column, gap, verdict):
    first = {1: 0.1, 2: 1}[column]
    whole = small(lambda *key: 4.0 + gap * (key[column] == first))
    other = scale(lambda *key: 3.0 * (key[column] == first), words="a tenth")
    found = contrast_claim(claim_id, {"whole": whole, "reduced": other}, cost=3)
    assert (found.id, found.verdict, found.num_runs) == (claim_id, verdict, 3)
    assert found.estimate == pytest.approx(gap)
    assert "With a tenth LiPrune's mean test error is, against random pruning's, 3" in found.note


def test_a_contrast_that_differs_between_seeds_is_open():
    whole = {"whole": small(lambda *key: 3.0 * (key[-1] - 1) * (key[1] == 0.1))}
    assert contrast_claim("cifar-learning-rate-b", whole, cost=1).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [
        (constant(0.9), "holds"),
        (constant(-1.1), "does-not-hold"),
        (constant(1.1), "does-not-hold"),
        (spread(3.0), "inconclusive"),
    ],
)
def test_late_pruning_is_inside_the_margin(effect, verdict):
    late = scale(effect, prune_epochs=(3,), fractions=(0.2,))
    found = late_claim(late._replace(curves=select(late.curves, depth=14)), cost=2)
    assert (found.id, found.verdict, found.num_runs) == ("cifar-iteration-15-b", verdict, 6)
    assert found.note.startswith(
        "Over 3 seeds, each with images of its own. Before the pruning there are 2 epochs"
    )
    assert ("in place of 3 would decide" in found.note) == (verdict == "inconclusive")


def test_what_is_open_says_how_many_seeds_would_decide():
    rows = small(lambda *key: 1.5 * (key[-1] - 1))
    note = acceleration_claim({"whole": rows}, cost=1).note
    assert "The test error with all images is open. If the estimate stays, some" in note
    assert "is open" not in acceleration_claim({"whole": small(constant(0.1))}, cost=1).note


def test_every_claim_of_the_page_has_numbers():
    scales = {"whole": small(), "reduced": scale()}
    late = small(prune_epochs=(3,))
    found = [
        acceleration_claim(scales, cost=1), performance_claim(scales, cost=1),
        contrast_claim("cifar-learning-rate-b", scales, cost=1),
        contrast_claim("cifar-prune-epoch-b", scales, cost=1), late_claim(late, cost=1),
    ]  # fmt: skip
    page = [e for e in load_register().values() if e["page"] == "09_cifar10" and "supersedes" in e]
    assert [claim.id for claim in found] == [entry["id"] for entry in page]
    assert {claim.verdict for claim in found} == {"holds"}
    for claim in found:
        numbers = [v for v in astuple(claim) if isinstance(v, float)]
        assert all(map(math.isfinite, numbers))


def test_the_control_is_that_of_the_settings_that_have_both_fractions():
    rows = small(control=-8.0).curves
    assert control_difference(rows) == pytest.approx((-8, -8, -8, 3))
