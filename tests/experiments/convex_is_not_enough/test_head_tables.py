"""What the convex head's curves and constants say: speed-ups, predictions, bands."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from experiments.convex_is_not_enough import head_tables
from experiments.convex_is_not_enough.convex_head import ARMS, PRUNED
from experiments.convex_is_not_enough.head_tables import (
    faster,
    gain,
    head_bands,
    head_estimate,
    head_speed_ups,
    recorded_head,
)
from experiments.convex_is_not_enough.record import RULES
from liprune_utils.files import write_json, write_table
from liprune_utils.intervals import mean_interval

STEPS = np.unique(np.geomspace(1, 400, 60).round())


def curves() -> pd.DataFrame:
    """LiPrune is twice as fast by batches, and half as fast by points; half as much at its own."""
    tables = []
    for arm, rule, seed in product(ARMS, RULES, (0, 1, 2)):
        speed = {"batches": 2.0, "points": 0.5}[arm.unit] if arm.method == "liprune" else 1.0
        speed *= 0.5 if rule == "own" and arm.method == "liprune" else 1.0
        loss = 1 + np.exp(-speed * STEPS / 50) + 0.001 * (seed - 1) * (arm.method == "liprune")
        columns = {**arm._asdict(), "rule": rule, "seed": seed, "step": STEPS, "test_loss": loss}
        tables.append(pd.DataFrame(columns | {"test_error": 20 * loss}))
    return pd.concat(tables, ignore_index=True)


def constants() -> pd.DataFrame:
    rows = [
        {**arm._asdict(), "seed": seed, "spread": 0.1,
         "gain": 1.2 + 0.1 * seed + (arm.unit == "points") - (arm.method == "random")}
        for arm, seed in product(PRUNED, (0, 1, 2))
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return head_speed_ups(curves(), constants())


def test_speed_ups_are_those_of_each_case(table):
    assert len(table) == 16
    assert table.num_seeds.eq(3).all()
    assert head_estimate(table, "batches").value == pytest.approx(2, rel=0.03)
    assert head_estimate(table, "points").value == pytest.approx(0.5, rel=0.03)
    assert head_estimate(table, "batches", rule="own").value == pytest.approx(1, rel=0.03)
    error = head_estimate(table, "points", keep_fraction=0.5, measure="test_error")
    assert error.value == pytest.approx(0.5, rel=0.03)
    found = head_estimate(table, "batches")
    assert found.low < found.value < found.high < 2.2


def test_predictions_are_the_mean_gain_of_liprune(table):
    expected = mean_interval(np.array([2.2, 2.3, 2.4]), 0.90)
    assert gain(constants(), "points", 0.2) == pytest.approx(expected)
    assert head_estimate(table, "points", name="predicted") == pytest.approx(expected)


def test_equal_gains_have_no_interval():
    equal = constants().assign(gain=1.1 + 1e-15 * constants().seed)
    assert gain(equal, "points", 0.2) == (1.1, 1.1, 1.1, 3)


def test_an_estimate_is_written_in_words(table):
    assert faster(table, "batches").split("%")[0] in ("99", "100", "101")
    assert "% faster (90% interval" in faster(table, "batches")
    assert "% slower" in faster(table, "points")


def test_bands_are_at_one_step_size_and_no_pruning_is_in_both_panels():
    bands = head_bands(curves(), 0.2).set_index(["unit", "method", "step"])
    found = bands.loc["batches", "liprune", 1.0]
    assert found.test_loss == pytest.approx(1 + np.exp(-1 / 25))
    half = mean_interval(np.array([-0.001, 0, 0.001]), 0.90).high
    assert found.high - found.test_loss == pytest.approx(half)
    none = bands.sort_index().xs("none", level="method")
    assert none.loc["points"].equals(none.loc["batches"])
    assert bands.num_seeds.eq(3).all()


def test_recorded_tables_are_read_back(monkeypatch, tmp_path):
    monkeypatch.setattr(head_tables, "RECORDED", str(tmp_path))
    write_table(tmp_path, "head_curves", curves())
    write_table(tmp_path, "head_constants", constants())
    write_json(tmp_path / "head_provenance.json", {"seconds": 9.0})
    found, other, facts = recorded_head()
    pd.testing.assert_frame_equal(found, curves())
    pd.testing.assert_frame_equal(other, constants())
    assert facts == {"seconds": 9.0}
