"""The claims of page 11 follow the register's rules, in every branch."""

import pytest
import why_tables as toy

from experiments.why.claims import asymptotic_claim, noise_claim, points_claim
from experiments.why.tables import example_table, matched_noise
from liprune_utils.book.formats import in_brackets
from liprune_utils.intervals import Estimate

SEEN = Estimate(-5.0, -6.0, -4.0, 3)
FASTER, SLOWER, OPEN = (Estimate(v, v - 0.05, v + 0.05, 100) for v in (0.7, 1.2, 1.0))


def losses(liprune: float, hessian: float, half: float):
    table = toy.estimates(["liprune", "hessian"], [liprune, hessian], half)
    return table.assign(measure="full_set_loss", random=2.0)  # a margin of 0.1


@pytest.mark.parametrize(
    ("liprune", "hessian", "half", "verdict"),
    [
        (0.5, 1.0, 0.1, "holds"),
        (-0.5, 0.0, 0.2, "holds"),  # the paper's case decides
        (0.0, 1.0, 0.2, "holds-in-part"),
        (0.0, 1.0, 0.05, "holds-in-part"),
        (0.0, 0.0, 0.05, "does-not-hold"),
        (0.0, 0.0, 0.2, "inconclusive"),
    ],
)
def test_asymptotic_loss(liprune, hessian, half, verdict):
    found = asymptotic_claim(losses(liprune, hessian, half), cost=1.0)
    assert (found.id, found.verdict, found.source) == ("asymptotic-loss", verdict, "recorded")
    assert (found.estimate, found.num_runs) == (liprune, 3)
    assert in_brackets(Estimate(hessian, hessian - half, hessian + half, 3)) in found.note


def examples(hessian: float, half: float = 0.5, liprune: float = 0.0):
    return toy.estimates(["liprune", "hessian"], [liprune, hessian], half, keep_fraction=0.2)


def matched(noise: float):
    return matched_noise(toy.dynamics(noise))


@pytest.mark.parametrize(
    ("noise", "left", "verdict", "worst"),
    [
        ((0.2, 0.8), (0.7, 0.7), "holds", 0.8),
        ((0.2, 2.0), (0.7, 0.7), "does-not-hold", 2.0),
        ((0.2, 2.0), (0.7, 1.0), "holds", 0.2),  # not faster there
        ((0.2, 1.0), (0.7, 0.7), "inconclusive", 1.0),
    ],
)
def test_noise_reduction(noise, left, verdict, worst):
    found = noise_claim(toy.linear(noise, left), matched(2.0), examples(3.0), cost=1.0)
    assert (found.id, found.verdict, found.estimate) == ("noise-reduction", verdict, worst)
    assert found.source == "executed"
    assert "0.2% of a step's lead" in found.note
    assert "is faster in no case" in found.note


def test_noise_decides_nothing_where_liprune_is_never_faster():
    table = toy.linear((1.4, 2.0), (1.1, 1.2))  # as with a slope near 0
    found = noise_claim(table, matched(2.0), examples(3.0), cost=1.0)
    assert (found.verdict, found.estimate) == ("inconclusive", 1.4)
    assert "faster in no case" in found.note


@pytest.mark.parametrize(("noise", "verdict"), [(0.5, "holds"), (2.0, "does-not-hold")])
def test_noise_on_cifar10_counts_where_it_is_faster(noise, verdict):
    table = toy.linear((0.2,), (0.7,))
    found = noise_claim(table, matched(noise), examples(3.0, liprune=-2.0), cost=1.0)
    assert found.verdict == verdict
    assert "is faster for liprune" in found.note


@pytest.mark.parametrize(
    ("hessian", "half", "control", "convex", "verdict"),
    [
        (0.2, 0.5, SEEN, [FASTER, FASTER], "holds"),
        (0.2, 0.5, SEEN, [FASTER, SLOWER], "does-not-hold"),
        (0.2, 0.5, SEEN, [FASTER, OPEN], "inconclusive"),
        (0.2, 2.0, SEEN, [FASTER], "inconclusive"),
        (4.0, 0.5, SEEN, [FASTER], "does-not-hold"),
        (-4.0, 0.5, SEEN, [FASTER], "does-not-hold"),
        (0.2, 0.5, Estimate(-1.0, -3.0, 1.0, 3), [FASTER], "inconclusive"),
    ],
)
def test_points_to_batches(hessian, half, control, convex, verdict):
    found = points_claim(examples(hessian, half), control, convex, cost=1.0)
    assert (found.id, found.verdict, found.estimate) == ("points-to-batches", verdict, hessian)
    gap = Estimate(hessian, hessian - half, hessian + half, 3)
    assert f"{in_brackets(gap)} with 0.2 kept." in found.note
    assert ("accelerates nothing" in found.note) == (gap.low > -1)
    assert ("not resolved" in found.note) == (control is not SEEN)


def test_the_farthest_fraction_is_reported():
    table = example_table(toy.example_curves())
    table.loc[table.keep_fraction == 0.5, ["difference", "low", "high"]] = -7.0, -8.0, -6.0
    assert points_claim(table, SEEN, [FASTER], cost=1.0).estimate == -7
