"""Page 09's claims: each branch of each rule, on grids with known effects."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from cifar_grid import grid_curves, no_effect

from experiments.cifar10.claims import (
    Comparison,
    _compare_by_level,
    _loss_against_none,
    acceleration_claim,
    compare,
    compare_groups,
    equivalent,
    format_evidence,
    format_reason,
    late_claim,
    performance_claim,
    possible_gains,
    recorded_claims,
    same_verdict_claim,
)
from experiments.cifar10.tables import control_difference, differences, last_errors, pooled, select
from liprune_utils.book.register import load_register
from liprune_utils.intervals import Estimate

NOTHING = Estimate(0.0, 0.0, 0.0, 48)
CONTROL = Estimate(-10.0, -11.0, -9.0, 24)
UNSEEN = (Estimate(-10.0, -21.0, 1.0, 24), Estimate(5.0, 4.0, 6.0, 24), NOTHING)


def constant(points: float):
    return lambda *_: points


def spread(points: float):
    """Effects that differ between seeds by several ``points``, with mean zero."""
    return lambda *key: points * (key[-1] - 1)


def compared(effect=no_effect, control=CONTROL, margin=1.0, **options) -> Comparison:
    return compare(grid_curves(effect, **options), control, margin)


def comparison(verdict: str, error=NOTHING, epochs=1.0) -> Comparison:
    return Comparison(error, Estimate(epochs, epochs, epochs, 48), CONTROL, 1.0, verdict)


@pytest.mark.parametrize(
    ("interval", "sign", "answer"),
    [
        ((-0.9, 0.9), -1, True),
        ((-0.9, 0.9), 1, True),
        ((-2.0, -1.1), -1, False),
        ((-2.0, -1.1), 1, None),
        ((1.1, 2.0), 1, False),
        ((1.1, 2.0), -1, None),
        ((-1.1, 0.0), -1, None),
        ((0.0, 1.1), 1, None),
        ((-1.0, 0.0), -1, None),  # the margin itself is not inside
    ],
)
def test_equivalence_has_two_sides_and_refutation_one(interval, sign, answer):
    assert equivalent(Estimate(sum(interval) / 2, *interval, 3), 1.0, sign) is answer


@pytest.mark.parametrize(
    ("effect", "stretch", "verdict"),
    [
        (constant(0.0), 1.0, "holds"),
        (constant(-0.9), 1.0, "holds"),
        (constant(-1.1), 1.0, "does-not-hold"),
        (constant(4.0), 1.0, "inconclusive"),  # behind by more than the margin is not equivalent
        (spread(3.0), 1.0, "inconclusive"),
        (constant(0.0), 0.5, "does-not-hold"),
        (constant(0.0), 2.0, "inconclusive"),
    ],
)
def test_no_acceleration_is_equivalence_in_error_and_epochs(effect, stretch, verdict):
    assert compared(effect, stretch=stretch).verdict == verdict


def test_faster_in_epochs_alone_refutes():
    found = compared(stretch=0.5, margin=20.0)
    assert found.error.within(-20, 20)
    assert found.verdict == "does-not-hold"


@pytest.mark.parametrize("control", UNSEEN)
@pytest.mark.parametrize("effect", [constant(0.0), constant(-5.0), spread(3.0)])
def test_nothing_is_decided_where_the_control_is_not_seen(effect, control):
    found = compared(effect, control)
    assert found.verdict == "inconclusive"
    assert format_reason(found) == "The positive control is not seen, so that nothing is decided."


def test_the_papers_scale_has_a_margin_of_its_own():
    assert compared(constant(-0.7), margin=1.0).verdict == "holds"
    assert compared(constant(-0.7), margin=0.5).verdict == "does-not-hold"


def test_epochs_are_reported_as_a_ratio():
    found = compared(stretch=2.0)
    assert found.epochs == pytest.approx((2, 2, 2, 48))
    logs = pooled(differences(grid_curves(spread(3.0))), "log_epochs")
    assert compared(spread(3.0)).epochs[:3] == pytest.approx(np.exp(logs[:3]))


def test_levels_are_judged_by_their_own_runs():
    curves = grid_curves(lambda depth, rate, *_: -3.0 * (rate == 0.1), control=-8)
    found = _compare_by_level(curves, "learning_rate")
    assert {level: case.verdict for level, case in found.items()} == {
        0.01: "holds",
        0.1: "does-not-hold",
    }
    assert found[0.1].error == pytest.approx((-3, -3, -3, 24))
    assert found[0.1].control == pytest.approx((-8, -8, -8, 12))
    late = select(curves, prune_epoch=5)
    assert _compare_by_level(curves, "prune_epoch")[5] == compare(late, control_difference(late))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (compared(), "Both intervals lie inside their margins."),
        (compared(constant(-3.0)), "LiPrune is ahead by more than a margin."),
        (
            compared(constant(3.0)),
            "exclude an advantage beyond the margins, but not a disadvantage.",
        ),
        (compared(spread(3.0)), "not excluded in test error and in epochs."),
        (comparison("inconclusive", Estimate(0, -1.5, 1.5, 48)), "not excluded in test error."),
        (comparison("inconclusive", epochs=0.9), "not excluded in epochs."),
    ],
)
def test_the_reason_is_said_in_a_sentence(found, words):
    assert format_reason(found).endswith(words)
    assert format_evidence(found).endswith(format_reason(found))


@pytest.mark.parametrize(
    ("error", "epochs", "possible"),
    [(-0.9, 1.0, (False, False)), (-1.0, 1.0, (True, False)), (0.0, 0.9, (False, True)),
     (-2.0, 0.5, (True, True))],
)  # fmt: skip
def test_a_gain_is_possible_unless_its_interval_excludes_the_margin(error, epochs, possible):
    found = comparison("inconclusive", Estimate(0.0, error, 9.0, 48), epochs)
    assert possible_gains(found) == possible


def test_groups_are_compared_by_their_own_runs(late):
    curves = grid_curves(lambda depth, rate, *_: -3.0 * (rate == 0.1))
    whole = select(curves, learning_rate=0.01, prune_epoch=1)
    found = compare_groups(curves, late, whole[whole.depth == 14])
    assert {name: case.verdict for name, case in found.items()} == {
        "all settings": "inconclusive", "rate 0.01": "holds", "rate 0.1": "does-not-hold",
        "pruned at epoch 1": "inconclusive", "pruned at epoch 5": "inconclusive",
        "pruned at epoch 3": "holds", "the paper's scale": "holds",
    }  # fmt: skip
    assert found["all settings"] == compare(curves, control_difference(curves))
    assert [case.margin for case in found.values()] == [1.0] * 6 + [0.5]


def test_evidence_has_epochs_and_control():
    words = format_evidence(compared())
    assert "the number of epochs to the same error is 0.00% lower." in words
    control = "random pruning's mean error is 10.0 points lower (90% interval 9.0 to 11.0 points)."
    assert control in words


def test_acceleration_claim_reports_the_test_error():
    curves = grid_curves(constant(-0.5))
    claim = acceleration_claim(curves, compare(curves, CONTROL), cost=7)
    assert (claim.estimate, claim.low, claim.high) == pytest.approx((-0.5, -0.5, -0.5))
    assert (claim.verdict, claim.num_runs) == ("holds", 48)
    assert (claim.cost, claim.source) == (7, "recorded")
    assert "Over the 3 seeds alone the difference is 0.500 points lower." in claim.note


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [
        (constant(0.9), "holds"),
        (constant(1.1), "does-not-hold"),
        (constant(-1.1), "inconclusive"),  # better by more than the margin: no loss, not equivalent
        (spread(3.0), "inconclusive"),
    ],
)
def test_performance_is_equivalence_of_the_last_errors(effect, verdict):
    curves = grid_curves(effect)
    claim = performance_claim(curves, cost=7)
    assert (claim.id, claim.verdict, claim.source) == ("cifar-performance", verdict, "recorded")
    assert claim.estimate == pytest.approx(effect(0.0, 1), abs=1e-9)
    assert re.search(r"last test error is .* with LiPrune and .* with random", claim.note)


def test_loss_against_none_is_of_the_last_epoch():
    curves = grid_curves(constant(2.0), control=-4.0)
    last = last_errors(curves)
    found = _loss_against_none(curves)
    for name in ("liprune", "random"):
        assert found[name].value == pytest.approx((last[name] - last.none).mean())
    assert found["liprune"].value - found["random"].value == pytest.approx(2)
    assert found["random"].value == pytest.approx(-2)  # half of the cells gain 4 points


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        (["holds", "holds"], "holds"),
        (["does-not-hold", "does-not-hold"], "holds"),
        (["holds", "does-not-hold"], "does-not-hold"),
        (["holds", "inconclusive"], "inconclusive"),
        (["inconclusive", "does-not-hold"], "inconclusive"),
        (["inconclusive", "inconclusive"], "inconclusive"),
    ],
)
def test_same_verdict_counts_only_where_both_decide(verdicts, verdict):
    cases = {f"case {n}": comparison(words) for n, words in enumerate(verdicts)}
    claim = same_verdict_claim("cifar-prune-epoch", cases, cost=1)
    assert claim.verdict == verdict
    assert f"Case 0: {verdicts[0].replace('-', ' ')}" in claim.note


def test_same_claim_reports_the_case_farthest_from_random():
    far, near = Estimate(-0.2, -0.9, 0.5, 24), Estimate(0.3, -0.1, 0.7, 24)
    cases = {"far": comparison("holds", far), "near": comparison("holds", near)}
    claim = same_verdict_claim("cifar-prune-epoch", cases, cost=1)
    assert (claim.estimate, claim.low, claim.high) == far[:3]
    assert (
        same_verdict_claim("cifar-prune-epoch", dict(reversed(cases.items())), cost=1).low == -0.9
    )


@pytest.fixture(scope="module")
def late() -> pd.DataFrame:
    return grid_curves(prune_epochs=(3,), fractions=(0.2,))


def test_the_page_decides_its_five_claims(late):
    curves = grid_curves()
    claims = [*recorded_claims(curves, cost=10), late_claim(curves, late, cost=15)]
    page = {k: entry for k, entry in load_register().items() if entry["page"] == "09_cifar10"}
    mine = [name for name, entry in page.items() if "supersedes" not in entry]  # these wait
    assert [claim.id for claim in claims] == mine
    assert {claim.verdict for claim in claims} == {"holds"}
    assert {claim.source for claim in claims} == {"recorded"}
    assert [claim.cost for claim in claims] == [10, 10, 10, 10, 15]
    assert all(math.isfinite(claim.estimate) for claim in claims)


def test_late_pruning_is_held_against_the_rest_with_its_control(late):
    def verdict(effect, **options):
        return late_claim(grid_curves(effect, **options), late, cost=1).verdict

    assert verdict(constant(0.0)) == "holds"
    assert verdict(constant(-3.0)) == "does-not-hold"  # LiPrune ahead before, not when late
    assert verdict(spread(3.0)) == "inconclusive"
    assert verdict(constant(0.0), control=0.0) == "inconclusive"


def test_rates_that_disagree_are_told_apart():
    curves = grid_curves(lambda depth, rate, *_: -3.0 * (rate == 0.1))
    verdicts = {c.id: c.verdict for c in recorded_claims(curves, cost=1)}
    assert verdicts["cifar-learning-rate"] == "does-not-hold"
    assert verdicts["cifar-prune-epoch"] == "inconclusive"  # both epochs mix the two rates
