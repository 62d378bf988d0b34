"""The tables and claims of page 08: plain loops, planted laws, tables made by hand."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from draws import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from experiments.hessian_norm import claims, tables
from liprune_utils.intervals import Estimate, mean_interval


def overlap_by_hand(one: np.ndarray, other: np.ndarray) -> float:
    total = 0
    for tenths in range(1, 10):
        count = max(1, (tenths * len(one) + 5) // 10)  # halves upwards
        kept = [
            set(sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count])
            for scores in (one, other)
        ]
        total += len(kept[0] & kept[1]) / count
    return total / 9


def test_spreads_by_two_columns_are_those_by_hand():
    rows = [
        (epoch, size, norm * scale, norm - 2)
        for (epoch, size), scale in zip(product((1, 5), (16, 64)), (1, 2, 3, 4), strict=True)
        for norm in [1.0, 1.0, 3.0, 4.0, 6.0]
    ]
    scores = pd.DataFrame(rows, columns=["epoch", "batch_size", "norm", "eigenvalue"])
    table = tables.spreads(scores.sample(frac=1, random_state=0), ["epoch", "batch_size"])
    assert table.columns.tolist() == [
        "epoch", "batch_size", "num_batches", "mean_norm", "gain", "relative_sd", "low", "high",
        "num_negative",
    ]  # fmt: skip
    assert list(zip(table.epoch, table.batch_size, strict=True)) == [*product((1, 5), (16, 64))]
    assert (table.num_batches == 5).all()
    assert (table.num_negative == 2).all()
    np.testing.assert_allclose(table.mean_norm, [3, 6, 9, 12])
    np.testing.assert_allclose(table.gain, 6 / 3)  # the highest of five
    np.testing.assert_allclose(table.relative_sd, np.sqrt((4 + 4 + 0 + 1 + 9) / 4) / 3)


def test_a_spread_is_resampled_as_theory_says():
    norms = seeded(1).normal(10, 1, 400)
    scores = pd.DataFrame({"epoch": 1, "norm": norms, "eigenvalue": norms})
    (row,) = tables.spreads(scores, ["epoch"]).itertuples()
    half = 2.576 * 0.1 * np.sqrt((1 / 2 + 0.1**2) / 400)  # of normal norms, by the delta method
    assert row.relative_sd == pytest.approx(0.1, abs=half)
    assert row.low == pytest.approx(row.relative_sd - half, abs=0.2 * half)
    assert row.high == pytest.approx(row.relative_sd + half, abs=0.2 * half)


def test_means_of_independent_draws_spread_as_the_root_of_their_number():
    rows = [(B, seeded(k).exponential(size=B).mean()) for B in (4, 16, 64) for k in range(300)]
    found = tables.spread_exponent(pd.DataFrame(rows, columns=["batch_size", "norm"]))
    assert found.low < -0.5 < found.high
    assert found.low < found.value < found.high < -0.4
    assert found.num_runs == 900


@pytest.mark.parametrize("exponent", [-0.8, 0.0])
def test_a_planted_spread_is_recovered(exponent):
    pattern = np.repeat([-1.0, 1.0], 10)
    norms = {B: 7 * (1 + 0.1 * B**exponent * pattern) for B in (256, 16, 64)}
    table = pd.DataFrame({"batch_size": np.repeat([*norms], 20), "norm": np.r_[*norms.values()]})
    found = tables.spread_exponent(table)
    assert found.value == pytest.approx(exponent, abs=1e-9)
    assert found.low < exponent < found.high


def network_scores(seed: int, epoch: int, batch_norm: str, norms: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame({"batch": np.arange(len(norms)), "norm": norms})
    return table.assign(seed=seed, epoch=epoch, batch_norm=batch_norm)


def test_the_comparisons_are_those_of_the_study():
    networks = [*product([0], [1, 2, 5], ["train"]), *product([1, 2], [1, 5], ["train"])]
    networks += product([0], [1, 5], ["eval"])
    norms = dict(zip(networks, seeded(4).random((len(networks), 30)), strict=True))
    norms[0, 5, "eval"] = norms[0, 5, "train"] ** 2  # the same ranking
    norms[0, 2, "train"] = 1 / norms[0, 5, "train"]  # turned round
    scores = pd.concat([network_scores(*key, values) for key, values in norms.items()])
    found = tables.agreements(scores.sample(frac=1, random_state=1), (1, 5))
    expected = {
        "seed 0 and 1, epoch 1": ("seeds", (0, 1, "train"), (1, 1, "train")),
        "seed 0 and 2, epoch 1": ("seeds", (0, 1, "train"), (2, 1, "train")),
        "seed 0 and 1, epoch 5": ("seeds", (0, 5, "train"), (1, 5, "train")),
        "seed 0 and 2, epoch 5": ("seeds", (0, 5, "train"), (2, 5, "train")),
        "epoch 1 and 5": ("training", (0, 1, "train"), (0, 5, "train")),
        "epoch 2 and 5": ("training", (0, 2, "train"), (0, 5, "train")),
        "train and eval, epoch 1": ("batch norm", (0, 1, "train"), (0, 1, "eval")),
        "train and eval, epoch 5": ("batch norm", (0, 5, "train"), (0, 5, "eval")),
    }
    assert found.comparison.tolist() == [*expected]
    for row in found.itertuples():
        kind, one, other = expected[row.comparison]
        ranks = rankdata(norms[one]), rankdata(norms[other])
        assert (row.kind, row.num_batches) == (kind, 30)
        assert row.correlation == pytest.approx(np.corrcoef(*ranks)[0, 1])
        assert row.overlap == pytest.approx(overlap_by_hand(norms[one], norms[other]))
        assert row.chance == pytest.approx(0.5)
        assert row.low <= row.correlation <= row.high
    ends = found.set_index("comparison")[["low", "high"]]
    np.testing.assert_allclose(ends.loc["epoch 2 and 5"], -1)  # pairs are drawn together
    np.testing.assert_allclose(ends.loc["train and eval, epoch 5"], 1)


def test_only_common_batches_are_compared():
    one, other = seeded(4).random((2, 30))
    scores = pd.concat([
        network_scores(0, 1, "train", one),
        network_scores(0, 1, "eval", other).query("batch >= 20"),
    ])  # fmt: skip
    (row,) = tables.agreements(scores.assign(epoch=1), (1, 1)).head(1).itertuples()
    ranks = rankdata(one[20:]), rankdata(other[20:])
    assert row.num_batches == 10
    assert row.correlation == pytest.approx(np.corrcoef(*ranks)[0, 1])


def switching(powers: dict[tuple[int, str], float], activation: str = "relu") -> pd.DataFrame:
    rows = [
        (activation, *line, d, 3 * d**power if d > 1e-4 else 1e9, 100 if d > 1e-4 else 9)
        for (line, power), d in product(powers.items(), tables.DISTANCES)
    ]
    names = ["activation", "epochs", "direction", "distance", "secant", "num_switched"]
    return pd.DataFrame(rows, columns=names)


@settings(max_examples=60)
@given(st.lists(st.floats(-2, 1), min_size=2, max_size=5))
def test_the_power_of_switching_is_recovered_where_units_switch(powers):
    lines = {(number % 2, f"random {number // 2}"): power for number, power in enumerate(powers)}
    smooth = switching({(0, "gradient"): 7.0}, "softplus")
    table = pd.concat([switching(lines), smooth], ignore_index=True)
    short = table[table.distance == 0.1].iloc[[0]].assign(direction="one distance only")
    found = tables.switching_exponent(pd.concat([table, short]))
    np.testing.assert_allclose(found, mean_interval(np.array(powers)), atol=1e-8)


def benchmark() -> pd.DataFrame:
    exact = {0: [-4.0, 1.0, 2.0, 3.0], 5: [8.0, 5.0, 6.0, 7.0]}
    rows = []
    for epochs, batch in product(exact, range(4)):
        value = exact[epochs][batch]
        rows.append((epochs, "accurate", batch, value, 10 + batch, 2.0 + batch**2, 0.01 * batch))
        rows.append((epochs, "ranking", batch, 1 / value, 5, 1.0, 0.3))
        rows.append((epochs, "reference", batch, value, 50, 100.0, 0.0))
        if batch < 2:
            rows.append((epochs, "peer", batch, value, 0, 10.0 + 5 * batch + epochs, 0.05))
    names = ["epochs", "method", "batch", "eigenvalue", "num_products", "seconds", "relative_error"]
    return pd.DataFrame(rows, columns=names)


def test_benchmark_has_a_row_for_each_stage_and_method():
    table = tables.summarise_benchmark(benchmark().sample(frac=1, random_state=2))
    assert len(table) == 8
    rows = table.set_index(["epochs", "method"])
    counts = {"accurate": 4, "peer": 2, "ranking": 4, "reference": 4}
    assert rows.num_batches[0].to_dict() == counts
    assert rows.products[0, "accurate"] == 11.5
    assert np.isnan(rows.products[0, "peer"])  # unknown
    assert (rows.seconds[0, "accurate"], rows.seconds[5, "peer"]) == (4.5, 17.5)
    assert (rows.worst_error[5, "accurate"], rows.worst_error[0, "peer"]) == (0.03, 0.05)
    assert np.isnan(rows.overlap[0, "peer"])  # it did not score all
    assert (rows.overlap[:, "accurate"] == 1).all()
    sizes = np.array([4.0, 1, 2, 3])
    assert rows.overlap[0, "ranking"] == pytest.approx(overlap_by_hand(1 / sizes, sizes))


@pytest.mark.parametrize(
    ("mode", "ratios"),
    [("accurate", [[10 / 2, 15 / 3], [15 / 2, 20 / 3]]), ("ranking", [[10, 15], [15, 20]])],
)
def test_ratios_are_those_of_batches_that_all_scored(mode, ratios):
    found = tables.times_faster(benchmark(), mode)
    expected = [
        (e, "peer", np.median(r), min(r), max(r)) for e, r in zip((0, 5), ratios, strict=True)
    ]
    assert found.columns.tolist() == ["epochs", "method", "median", "min", "max"]
    assert list(found.itertuples(index=False, name=None)) == expected


LINES = [*product(("relu", "softplus"), (0, 4), ("eigenvector", "gradient"))]


def ratios(changed: dict[tuple[str, int, str], float]) -> pd.DataFrame:
    rows = [
        (*line, d, changed.get(line, 0.6 + 0.4 * (line[2] == "eigenvector")) if d < 2e-3 else 9)
        for line, d in product(LINES, tables.DISTANCES)  # beyond 0.001 the register asks nothing
    ]
    names = ["activation", "epochs", "direction", "distance", "ratio"]
    return pd.DataFrame(rows, columns=names)


def test_of_the_near_secants_the_worst_are_reported():
    table = ratios({("relu", 4, "gradient"): 3.0})
    lowest = (table.activation == "relu") & (table.direction == "eigenvector")
    table.loc[lowest & np.isclose(table.distance, 1e-3), "ratio"] = 0.2
    table.loc[lowest & np.isclose(table.distance, 1e-5), "ratio"] = 1.5
    rows = tables.worst_ratios(table).set_index(["activation", "epochs"])
    assert [*rows.index] == [*product(("relu", "softplus"), (0, 4))]
    assert rows.highest.tolist() == [1.5, 3, 1, 1]
    assert rows.along_top.tolist() == [0.2, 0.2, 1, 1]


@pytest.mark.parametrize(
    ("stages", "is_cifar10", "verdict"),
    [
        (([90, 91, 92], [120, 121, 122]), True, "does-not-hold"),
        (([90, 91, 92], [163, 164, 165]), True, "inconclusive"),
        (([90, 91, 92], [200, 201, 202]), True, "holds"),
        (([200, 201, 202], [90, 91, 92]), True, "holds"),
        (([90, 91, 92], [100, 121, 142]), True, "inconclusive"),  # wide
        (([90, 91, 92], [200, 201, 202]), False, "not-evaluated"),
    ],
)
def test_cost_rule(stages, is_cifar10, verdict):
    table = pd.DataFrame({"epochs": [0] * 3 + [4] * 3, "gradients": np.concatenate(stages)})
    found = claims.cost_claim(table, is_cifar10=is_cifar10, cost=1)
    assert (found.id, found.verdict, found.num_runs) == ("cost-per-example", verdict, 3)
    expected = mean_interval(np.array(max(stages)))
    np.testing.assert_allclose((found.estimate, found.low, found.high), expected[:3])


def test_an_estimate_is_written_with_its_interval_and_what_counts():
    estimate = Estimate(-0.5, -0.61, -0.4, 8)
    words = tables.with_interval(estimate, "8 lines")
    assert words == "−0.5 (99% interval −0.61 to −0.4, 8 lines)"
    words = tables.with_interval(Estimate(77.04, 48, 105.3, 5), "5 samples", "epochs")
    assert words == "77 epochs (99% interval 48 to 105, 5 samples)"


def test_readers_see_one_network_and_plain_names():
    grid = product(("relu", "softplus"), (0, 4), ("eigenvector", "gradient"), (1e-1, 1e-2))
    secants = pd.DataFrame(grid, columns=["activation", "epochs", "direction", "distance"])
    values = {name: np.arange(16) for name in ("num_switched", "secant", "tangent", "ratio")}
    table = tables.switching_table(secants.assign(**values), 4)
    assert table.columns.tolist() == [
        "distance", "units that switch", "secant", "Hessian × eigenvector", "secant / Hessian norm",
    ]  # fmt: skip
    assert table.to_numpy().tolist() == [[1e-1, 4, 4, 4, 4], [1e-2, 5, 5, 5, 5]]


def test_readers_see_the_spread_of_each_epoch():
    scores = pd.DataFrame({"epoch": 3, "norm": [1.0, 1, 3, 4, 6], "eigenvalue": [1, -1, 3, 4, 6]})
    (row,) = tables.epoch_table(tables.spreads(scores, ["epoch"])).to_dict("records")
    assert row["start of epoch"] == 3
    assert (row["batches"], row["negative eigenvalues"]) == (5, 1)
    assert (row["mean norm"], row["mean of the top fifth / mean"]) == (3, 2)
    assert row["standard deviation / mean"] == pytest.approx(np.sqrt(4.5) / 3)


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((-0.46, -0.59, -0.33), "That interval contains −0.5, so a random walk may explain them"),
        ((-0.46, -0.49, -0.43), "The secants grow more slowly than a random walk"),
        ((-0.9, -0.99, -0.8), "The secants grow faster than a random walk"),
    ],
)
def test_an_exponent_is_compared_with_that_of_a_random_walk(ends, words):
    assert tables.walk_comparison(Estimate(*ends, 8)).startswith(words)
