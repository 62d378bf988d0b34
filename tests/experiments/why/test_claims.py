"""The claims of page 11 follow the register's rules, in every branch."""

import math

import pandas as pd
import pytest

from experiments.why.claims import asymptotic_claim, points_claim, variance_claim
from experiments.why.speed_ups import compared, comparison_table
from liprune_utils.intervals import Estimate

NAN = math.nan


def around(value: float) -> Estimate:
    return Estimate(value, value - 0.1, value + 0.1, 4)


@pytest.mark.parametrize(
    ("batches", "examples", "verdict"),
    [
        (around(0.5), around(0.0), "holds"),
        (around(-0.5), around(0.0), "holds"),  # batches decide
        (around(0.0), around(-1.0), "holds-in-part"),
        (around(0.0), around(0.05), "inconclusive"),
    ],
)
def test_asymptotic_loss(batches, examples, verdict):
    found = asymptotic_claim(batches, examples, note="So it is.", cost=1.0)
    assert (found.id, found.verdict, found.source) == ("asymptotic-loss-b", verdict, "recorded")
    assert (found.estimate, found.num_runs, found.note) == (batches.value, 4, "So it is.")


LESS, SAME = (0.5, 0.49, 0.51), (0.93, 0.90, 0.96)  # ratios of variances


def race(variance: tuple[float, ...], *steps: float, num_runs: int = 1000) -> dict[str, float]:
    """A row of the races; the steps are value, low and high."""
    numbers = [*variance, *steps]
    names = [f"{name}{end}" for name in ("variance", "steps") for end in ("", "_low", "_high")]
    return dict(zip(names, numbers, strict=True)) | {"num_runs": num_runs, "share": 0.05}


@pytest.mark.parametrize(
    ("rows", "verdict", "worst"),
    [
        ([race(LESS, 0.9, 0.85, 0.95), race(LESS, 0.98, 0.97, 0.99)], "holds", 0.98),
        ([race(LESS, 0.9, 0.85, 0.95), race(SAME, 1.2, 1.1, 1.3)], "holds", 0.9),  # not less
        ([race(LESS, 0.9, 0.85, 0.95), race(LESS, 0.99, 0.96, 1.01)], "holds-in-part", 0.99),
        ([race(LESS, 1.02, 1.01, 1.03)], "holds-in-part", 1.02),
        ([race(LESS, 0.97, 0.96, 0.98), race(LESS, 0.96, 0.90, 1.02)], "inconclusive", 0.97),
        ([race(LESS, 0.99, 0.96, 1.01), race(LESS, 1.0, 0.90, 1.10)], "inconclusive", 1.0),
        ([race(LESS, 0.9, 0.85, 0.95), race(LESS, 1.1, 1.06, 1.14)], "does-not-hold", 1.1),
        ([race(LESS, math.inf, 3.0, math.inf)], "does-not-hold", math.inf),
        ([race(SAME, 0.9, 0.85, 0.95)], "inconclusive", 0.9),  # nothing is tried
        ([race(LESS, 0.9, 0.85, 0.95, num_runs=999)], "inconclusive", 0.9),
    ],
)
def test_less_variance(rows, verdict, worst):
    found = variance_claim(pd.DataFrame(rows), cost=1.0)
    assert (found.id, found.verdict, found.estimate) == ("noise-reduction-b", verdict, worst)
    assert found.source == "executed"
    tried = sum(row["variance"] == 0.5 for row in rows)
    assert f"{tried} of {len(rows)} cases" in found.note
    assert "5.0% to 5.0%" in found.note
    slower = [row["variance"] for row in rows if row["steps_low"] > 1]
    assert (
        (f"{min(slower)} times the variance came" in found.note)
        if slower
        else ("no rule" not in found.note)
    )


ABOVE, BELOW = (Estimate(value, value - 0.1, value + 0.1, 10) for value in (1.3, 0.9))
OPEN = Estimate(1.1, 0.9, 1.3, 10)


def speed_ups(**cases: Estimate):
    """A table of speed-ups; cases are named such as head_batches."""
    rows = (
        compared(*name.split("_"), Estimate(1.03, 1.02, 1.04, 10), case)
        for name, case in cases.items()
    )
    return comparison_table(list(rows))


@pytest.mark.parametrize(
    ("head_batches", "network_batches", "head_points", "network_points", "verdict"),
    [
        (ABOVE, BELOW, BELOW, BELOW, "holds"),
        (ABOVE, OPEN, BELOW, BELOW, "inconclusive"),
        (ABOVE, ABOVE, BELOW, BELOW, "inconclusive"),  # both gain
        (OPEN, BELOW, BELOW, BELOW, "inconclusive"),
        (BELOW, BELOW, ABOVE, BELOW, "holds-in-part"),
        (BELOW, ABOVE, ABOVE, BELOW, "holds-in-part"),
        (OPEN, BELOW, ABOVE, BELOW, "inconclusive"),  # perhaps not only by points
        (BELOW, OPEN, BELOW, BELOW, "does-not-hold"),
        (BELOW, BELOW, ABOVE, ABOVE, "does-not-hold"),
        (BELOW, BELOW, ABOVE, OPEN, "inconclusive"),
        (BELOW, BELOW, OPEN, OPEN, "inconclusive"),
        (BELOW, BELOW, BELOW, ABOVE, "inconclusive"),
        (BELOW, BELOW, BELOW, Estimate(NAN, NAN, NAN, 3), "inconclusive"),
    ],
)
def test_points_to_batches(head_batches, network_batches, head_points, network_points, verdict):
    table = speed_ups(
        head_batches=head_batches, head_points=head_points,
        network_batches=network_batches, network_points=network_points,
    )  # fmt: skip
    found = points_claim(table, cost=1.0, images_cost=3600.0)
    assert (found.id, found.verdict) == ("points-to-batches-b", verdict)
    assert (found.estimate, found.low, found.high) == head_batches[:3]
    assert (found.num_runs, found.source) == (10, "recorded")
    assert ("By points the network is open" in found.note) == (network_points == OPEN)


def test_the_note_has_the_margin_the_prediction_and_the_other_cases():
    table = speed_ups(
        head_batches=BELOW, head_points=ABOVE, network_batches=OPEN, network_points=ABOVE
    )
    note = points_claim(table, cost=1.0, images_cost=3600.0).note
    assert "beyond 10%" in note
    assert "predict 3.0% faster" in note
    assert "the network trains 10% faster (90% interval 10% slower to 30% faster)" in note
    assert note.count("30% faster (90% interval 20 to 40%)") == 2
    assert "[" not in note
