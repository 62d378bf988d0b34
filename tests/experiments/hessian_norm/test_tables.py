"""What page 08 reads off its tables: plain loops, planted laws, tables made by hand."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from experiments.hessian_norm import claims, tables
from liprune_utils.book.register import load_register
from liprune_utils.intervals import mean_interval

checked = settings(max_examples=60, deadline=None, derandomize=True)
pairs = st.integers(1, 25).flatmap(
    lambda n: arrays(float, (2, n), elements=st.integers(-9, 9).map(float))
)


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def kept_by_hand(scores: np.ndarray, tenths: int) -> set[int]:
    count = max(1, (tenths * len(scores) + 5) // 10)  # halves upwards
    return set(sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count])


def overlap_by_hand(one: np.ndarray, other: np.ndarray) -> float:
    kept = [[kept_by_hand(scores, k) for scores in (one, other)] for k in range(1, 10)]
    return sum(len(a & b) / len(b) for a, b in kept) / 9


@checked
@given(pairs)
def test_overlap_is_counted_by_hand_and_symmetric(scores):
    found = tables.kept_overlap(*scores)
    assert found == pytest.approx(overlap_by_hand(*scores))
    assert found == tables.kept_overlap(*scores[::-1])
    assert 0 <= found <= 1


@checked
@given(arrays(float, 12, elements=st.integers(-50, 50).map(float), unique=True), st.integers(0, 99))
def test_overlap_depends_on_ranks_alone(scores, seed):
    other, order = seeded(seed).random(12), seeded(seed + 1).permutation(12)
    assert tables.kept_overlap(np.exp(scores / 20) - 3, scores) == 1
    expected = tables.kept_overlap(scores, other)
    assert tables.kept_overlap(7 * scores**3 + 1, rankdata(other)) == expected
    assert tables.kept_overlap(scores[order], other[order]) == expected


def test_a_mean_is_resampled_as_theory_says():
    samples = seeded(1).normal(3, 2, size=300)
    found = tables.resampled(np.mean, samples, seed=2)
    half = 2.576 * samples.std() / np.sqrt(300)
    assert (found.value, found.num_runs) == (samples.mean(), 300)
    assert found.low == pytest.approx(found.value - half, abs=0.1 * half)
    assert found.high == pytest.approx(found.value + half, abs=0.1 * half)
    assert tables.resampled(np.mean, samples, seed=2) == found
    assert tables.resampled(np.mean, samples, seed=3) != found


def test_pairs_are_drawn_together():
    samples = seeded(1).normal(size=50)
    found = tables.resampled(lambda a, b: np.corrcoef(a, b)[0, 1], samples, 1 - 2 * samples)
    np.testing.assert_allclose(found[:3], -1)


def test_spreads_of_two_stages():
    norms = {1: [1.0, 2.0, 3.0, 6.0], 5: [10.0, 10.5, 11.0]}
    signs = {1: [-1, 1, -1, -1], 5: [1, 1, 1]}
    rows = [(e, n, n * s) for e in norms for n, s in zip(norms[e], signs[e], strict=True)]
    table = tables.spreads(pd.DataFrame(rows, columns=["epoch", "norm", "eigenvalue"]), ["epoch"])
    assert table.epoch.tolist() == [1, 5]
    assert table.num_batches.tolist() == [4, 3]
    assert table.num_negative.tolist() == [3, 0]
    np.testing.assert_allclose(table.mean_norm, [3, 10.5])
    np.testing.assert_allclose(table.gain, [6 / 3, 11 / 10.5])
    expected = [np.sqrt((4 + 1 + 0 + 9) / 3) / 3, 0.5 / 10.5]
    np.testing.assert_allclose(table.relative_sd, expected)
    assert (table.low < table.relative_sd).all()
    assert (table.relative_sd < table.high).all()


def test_spreads_by_two_columns_name_both():
    rows = [(e, b, float(n + b), 1.0) for e, b, n in product((1, 5), (16, 64), range(10))]
    columns = ["epoch", "batch_size", "norm", "eigenvalue"]
    table = tables.spreads(pd.DataFrame(rows, columns=columns), ["epoch", "batch_size"])
    assert list(zip(table.epoch, table.batch_size, strict=True)) == [*product((1, 5), (16, 64))]
    means = np.array([20.5, 68.5] * 2)
    np.testing.assert_allclose(table.relative_sd, np.sqrt(55 / 6) / means)
    np.testing.assert_allclose(table.gain, (means + 4) / means)  # the highest two of ten


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
    found = tables.spread_exponent(table, seed=1)
    assert found.value == pytest.approx(exponent, abs=1e-9)
    assert found == tables.spread_exponent(table, seed=1)
    assert found.low < exponent < found.high


def batches(norms: np.ndarray, first: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"batch": np.arange(first, first + len(norms)), "norm": norms})


def test_equal_and_reversed_rankings():
    norms = seeded(3).permutation(20) + 1.0
    one = batches(norms)
    equal = tables.rank_agreement(one, batches(norms**2).sample(frac=1, random_state=0))
    assert (equal["num_batches"], equal["overlap"]) == (20, 1)
    np.testing.assert_allclose([equal[k] for k in ("correlation", "low", "high")], 1)
    turned = tables.rank_agreement(one, batches(1 / norms))
    np.testing.assert_allclose([turned[k] for k in ("correlation", "low", "high")], -1)
    assert turned["overlap"] == pytest.approx(overlap_by_hand(norms, -norms))
    assert turned["chance"] == pytest.approx(0.5)


def test_only_common_batches_are_compared():
    one, other = seeded(4).random((2, 30))
    found = tables.rank_agreement(batches(one), batches(other, first=10))
    ranks = [rankdata(part) for part in (one[10:], other[:20])]
    assert found["num_batches"] == 20
    assert found["correlation"] == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert found["overlap"] == pytest.approx(overlap_by_hand(one[10:], other[:20]))
    assert found["low"] < found["correlation"] < found["high"]


def test_the_comparisons_are_those_of_the_study(monkeypatch):
    cells = [*product([0], [1, 2, 5], ["train"]), *product([1, 2], [1, 5], ["train"])]
    cells += product([0], [1, 5], ["eval"])
    parts = [pd.DataFrame([cell], columns=["seed", "epoch", "batch_norm"]) for cell in cells]
    scores = pd.concat([part.assign(batch=0, norm=1.0) for part in parts], ignore_index=True)

    def compared(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, str]:
        words = [" ".join(map(str, part.iloc[0, :3])) for part in (one, other)]
        return {"pair": " | ".join(words)}

    monkeypatch.setattr(tables, "rank_agreement", compared)
    found = tables.agreements(scores.sample(frac=1, random_state=1), (1, 5))
    assert list(found.itertuples(index=False, name=None)) == [
        ("seeds", "seed 0 and 1, epoch 1", "0 1 train | 1 1 train"),
        ("seeds", "seed 0 and 2, epoch 1", "0 1 train | 2 1 train"),
        ("seeds", "seed 0 and 1, epoch 5", "0 5 train | 1 5 train"),
        ("seeds", "seed 0 and 2, epoch 5", "0 5 train | 2 5 train"),
        ("training", "epoch 1 and 5", "0 1 train | 0 5 train"),
        ("training", "epoch 2 and 5", "0 2 train | 0 5 train"),
        ("batch norm", "train and eval, epoch 1", "0 1 train | 0 1 eval"),
        ("batch norm", "train and eval, epoch 5", "0 5 train | 0 5 eval"),
    ]


def switching(powers: dict[tuple[int, str], float], activation: str = "relu") -> pd.DataFrame:
    rows = [
        (activation, *line, d, 3 * d**power if d > 1e-4 else 1e9, 100 if d > 1e-4 else 9)
        for (line, power), d in product(powers.items(), tables.DISTANCES)
    ]
    names = ["activation", "epochs", "direction", "distance", "secant", "num_switched"]
    return pd.DataFrame(rows, columns=names)


@checked
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
    ("changed", "verdict"),
    [
        ({}, "holds"),
        ({("relu", 0, "gradient"): 1.0499, ("softplus", 0, "eigenvector"): 0.9501}, "holds"),
        ({("relu", 0, "gradient"): 1.0501}, "holds-in-part"),
        ({("relu", 4, "eigenvector"): 0.9499}, "holds-in-part"),
        ({("relu", 0, "eigenvector"): 40.0, ("relu", 4, "eigenvector"): 40.0}, "holds-in-part"),
        ({("softplus", 4, "gradient"): 1.0501}, "does-not-hold"),
        ({("softplus", 0, "eigenvector"): 0.9499}, "does-not-hold"),
        ({("relu", 0, "gradient"): 2.0, ("softplus", 0, "gradient"): 2.0}, "does-not-hold"),
    ],
)
def test_tight_rule(changed, verdict):
    found = claims.tight_claim(ratios(changed), cost=2.34)
    assert (found.verdict, found.cost, found.num_runs) == (verdict, 2.3, 4)
    assert found.estimate == found.high == max([1.0, *changed.values()])
    assert found.low == tables.worst_ratios(ratios(changed)).highest.min()


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
    assert (found.verdict, found.num_runs) == (verdict, 3)
    expected = mean_interval(np.array(max(stages)))
    np.testing.assert_allclose((found.estimate, found.low, found.high), expected[:3])


def test_all_claims_of_the_page_are_decided():
    costs = pd.DataFrame({"epochs": [0, 0], "gradients": [1.0, 2.0]})
    decided = [claims.tight_claim(ratios({}), cost=0)]
    decided += [claims.cost_claim(costs, is_cifar10=True, cost=0)]
    entries = load_register().items()
    page = {key: entry for key, entry in entries if entry["page"] == "08_hessian_norm"}
    waiting = {key for key, entry in page.items() if "supersedes" in entry}
    assert {found.id for found in decided} == set(page) - waiting
    assert all(found.source == "executed" for found in decided)
