"""Tables of page 06's convex head: how much faster LiPrune trains it, predicted and observed."""

from itertools import product

import numpy as np
import pandas as pd

from experiments.convex_is_not_enough.convex_head import KEEP_FRACTIONS, UNITS, UNPRUNED
from experiments.convex_is_not_enough.record import RECORDED, RULES
from liprune_utils.book.formats import relative
from liprune_utils.book.register import load_register
from liprune_utils.files import PROJECT, read_json, read_table
from liprune_utils.intervals import Estimate, mean_interval
from liprune_utils.speed_up import speed_up

LEVEL = load_register()["points-to-batches-b"]["level"]
MEASURES = ("test_loss", "test_error")


def recorded_head() -> tuple[pd.DataFrame, pd.DataFrame, dict[str, object]]:
    """Read the curves and the constants of the recorded study, and its provenance."""
    folder = PROJECT / RECORDED
    tables = (read_table(folder / f"head_{name}.csv") for name in ("curves", "constants"))
    return *tables, read_json(folder / "head_provenance.json")


def by_seed(rows: pd.DataFrame, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Lay out the recorded steps, and a measure there of each seed, ``[num_seeds, num_steps]``."""
    wide = rows.pivot(index="seed", columns="step", values=measure)
    return wide.columns.to_numpy(), wide.to_numpy()


def head_speed_ups(curves: pd.DataFrame, constants: pd.DataFrame) -> pd.DataFrame:
    """Compare LiPrune with random pruning, in each case, with what its constants predict."""
    rows = []
    for unit, fraction, rule, measure in product(UNITS, KEEP_FRACTIONS, RULES, MEASURES):
        here = curves[
            (curves.unit == unit) & (curves.keep_fraction == fraction) & (curves.rule == rule)
        ]
        steps, own = by_seed(here[here.method == "liprune"], measure)
        _, rival = by_seed(here[here.method == "random"], measure)
        found = speed_up(rival, own, steps=steps, level=LEVEL).estimate
        columns = {"unit": unit, "keep_fraction": fraction, "rule": rule, "measure": measure}
        expected = gain(constants, unit, fraction).named_columns("predicted")
        rows.append(columns | expected | found.named_columns("speed_up"))
    return pd.DataFrame(rows).assign(num_seeds=curves.seed.nunique())


def gain(constants: pd.DataFrame, unit: str, keep_fraction: float) -> Estimate:
    """Estimate the mean constant of what LiPrune keeps over the mean of all."""
    here = constants[(constants.unit == unit) & (constants.keep_fraction == keep_fraction)]
    values = here[here.method == "liprune"].gain.to_numpy()
    if np.ptp(values) < 1e-9:  # LiPrune keeps the same points with every seed
        return Estimate(*[float(values[0])] * 3, len(values))
    return mean_interval(values, LEVEL)


def head_estimate(
    table: pd.DataFrame, unit: str, *, keep_fraction: float = 0.2, rule: str = "shared",
    measure: str = "test_loss", name: str = "speed_up",
) -> Estimate:  # fmt: skip
    """Read one estimate of the table; by default of the case that decides."""
    keys = ["unit", "keep_fraction", "rule", "measure"]
    row = table.set_index(keys).loc[unit, keep_fraction, rule, measure]
    return Estimate.of(row.rename({"num_seeds": "num_runs"}), name)


def faster(table: pd.DataFrame, unit: str, **case: object) -> str:
    """Write one estimate of the table in words, such as "10% slower (90% interval 5 to 15%)"."""
    estimate = head_estimate(table, unit, **case)
    return relative(estimate, level=LEVEL, words=("slower", "faster"))


def head_bands(curves: pd.DataFrame, keep_fraction: float) -> pd.DataFrame:
    """Average the test loss over the seeds, at one step size for all, with its interval."""
    here = curves[(curves.rule == "shared") & curves.keep_fraction.isin([keep_fraction, 1])]
    rows = []
    for (unit, method, step), group in here.groupby(["unit", "method", "step"], sort=False):
        band = mean_interval(group.test_loss.to_numpy(), LEVEL).columns("test_loss")
        units = UNITS if method == UNPRUNED.method else (unit,)
        rows += [{"unit": name, "method": method, "step": step} | band for name in units]
    return pd.DataFrame(rows).rename(columns={"num_runs": "num_seeds"})
