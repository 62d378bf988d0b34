"""SGD on the sine model: a plain loop's numbers, pairing, the register's rule."""

import numpy as np
import pytest

from experiments.linear_model.runs import Pruning, stream
from experiments.sine_model.claims import advantage_claim
from experiments.sine_model.landscapes import NOISE_SD, draw_sine, population_loss
from experiments.sine_model.runs import (
    Paths,
    Setting,
    SineParameters,
    _mean_loss,
    end_table,
    pair_table,
    simulate,
)
from liprune_utils.book.register import load_register
from liprune_utils.checks import InputError
from liprune_utils.lipschitz import sine_constant
from liprune_utils.sgd import distinct_batches

SETTING = Setting((8.0, 11.0), (0.1, 0.4), (0.1, 0.5), (0, 3, 20), ("kept", "full"))
NUM_RUNS, SEED = 4, 5


@pytest.fixture(scope="module")
def runs() -> dict[Pruning, Paths]:
    return simulate(SETTING, num_runs=NUM_RUNS, seed=SEED)


def one_by_one(pruning: Pruning, start: float, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights and losses of one curve, one run and one step after the other."""
    draws, count = stream(SEED, "data"), round(1000 * pruning.keep_fraction)
    batches = stream(SEED, "batches", count)
    weights, losses = [], []
    for _ in range(NUM_RUNS):
        (x,), (y,) = draw_sine(draws, 1, 1000)
        scores = sine_constant(x, y) if pruning.method == "liprune" else -np.arange(1000.0)
        kept = sorted(range(1000), key=lambda i, scores=scores: -scores[i])[:count]
        path = [start]
        for batch in distinct_batches(batches, 1, count, 10, 20):
            gradients = []
            for i in batch[:, 0]:
                x_i, y_i = x[kept[i]], y[kept[i]]
                gradients.append(x_i * np.cos(path[-1] * x_i) * (np.sin(path[-1] * x_i) - y_i))
            path.append(path[-1] - rate * np.mean(gradients))
        weights.append([path[step] for step in SETTING.steps])
        losses.append([
            [np.mean((np.sin(path[step] * x[of]) - y[of]) ** 2) / 2 for step in SETTING.steps]
            for of in (kept, slice(None))
        ])  # fmt: skip
    return np.transpose(weights), np.transpose(losses, (1, 2, 0))  # [step, run], [set, step, run]


@pytest.mark.parametrize(
    "pruning", [Pruning("liprune", 0.1), Pruning("random", 0.5), Pruning("none", 1.0)], ids=str
)
def test_numbers_are_those_of_a_plain_loop(runs, pruning):
    for i, start in enumerate(SETTING.starts):
        for j, rate in enumerate(SETTING.learning_rates):
            weights, (kept, full) = one_by_one(pruning, start, rate)
            np.testing.assert_allclose(runs[pruning].weight[:, i, j], weights, rtol=1e-9)
            np.testing.assert_allclose(runs[pruning].kept_loss[:, i, j], kept, rtol=1e-8)
            np.testing.assert_allclose(runs[pruning].full_loss[:, i, j], full, rtol=1e-8)


@pytest.mark.parametrize("block", [1, 3])
def test_numbers_do_not_depend_on_the_block(runs, block):
    other = simulate(SETTING, num_runs=NUM_RUNS, seed=SEED, block=block)
    assert list(other) == list(runs)
    for pruning, paths in other.items():
        np.testing.assert_allclose(paths.weight, runs[pruning].weight, rtol=1e-9)
        np.testing.assert_allclose(paths.full_loss, runs[pruning].full_loss, rtol=1e-9)


def test_numbers_do_not_depend_on_other_starts_rates_and_fractions(runs):
    one = Setting(SETTING.starts[1:], SETTING.learning_rates[:1], (0.5, 1.0), (20,))
    alone = simulate(one, num_runs=NUM_RUNS, seed=SEED)
    assert list(alone) == [("liprune", 0.5), ("random", 0.5), ("none", 1.0)]
    for pruning, paths in alone.items():
        np.testing.assert_allclose(paths.weight[0, 0, 0], runs[pruning].weight[2, 1, 0], rtol=1e-12)
        assert paths.kept_loss is None
        assert paths.full_loss is None


def test_methods_share_data_and_start(runs):
    pair = (runs[method, 0.1] for method in ("liprune", "random"))
    starts = [(paths.weight[0], paths.full_loss[0]) for paths in pair]
    for one, other in zip(*starts, strict=True):
        np.testing.assert_allclose(one, other)


def test_half_the_loss_is_half_the_rate():
    """Without the half, the gradient doubles: the same path at half the rate."""
    setting = Setting(learning_rates=(0.2,), keep_fractions=(0.1,), steps=(5,))
    weights = simulate(setting, num_runs=2, seed=1)["random", 0.1].weight[0, 0, 0]
    draws, batches = stream(1, "data"), stream(1, "batches", 100)
    x, y = (values.T for values in draw_sine(draws, 2, 1000))
    w = np.full(2, 8.0)
    for batch in distinct_batches(batches, 2, 100, 10, 5):
        a, b = x[:100].take(batch), y[:100].take(batch)
        w = w - 0.1 * np.mean(2 * a * np.cos(w * a) * (np.sin(w * a) - b), axis=0)
    np.testing.assert_allclose(weights, w, rtol=1e-12)


def test_mean_loss_at_the_true_weight_is_the_noise():
    data = draw_sine(np.random.default_rng(0), 3, 1000)
    noise = data.y - np.sin(12 * data.x)
    losses = _mean_loss(np.full((2, 3), 12.0), data)
    np.testing.assert_allclose(losses, np.tile((noise**2).mean(axis=1) / 2, (2, 1)))


def test_table_has_a_row_for_each_place(runs):
    table = end_table(runs)
    assert len(table) == 5 * 3 * 2 * 2
    row = table.query("method == 'liprune' and keep_fraction == 0.1 and start == 11 and step == 20")
    row = row[row.learning_rate == 0.1].iloc[0]
    weights = runs["liprune", 0.1].weight[2, 1, 0]
    assert row.num_runs == NUM_RUNS
    assert row.near == np.mean(np.abs(weights - 12) <= 0.1)
    assert row.weight == np.median(weights)
    assert row.loss_mean == pytest.approx(population_loss(weights).mean())
    kept = runs["liprune", 0.1].kept_loss[2, 1, 0]
    assert row.kept_loss_se == pytest.approx(kept.std(ddof=1) / 2)


def test_pairs_compare_runs_on_the_same_data(runs):
    table = pair_table(runs)
    assert len(table) == 2 * 3 * 2 * 2
    first = table.iloc[0]
    assert (first.ratio, first.near, first.num_runs) == (pytest.approx(1), 0, NUM_RUNS)  # step 0
    row = table.query("keep_fraction == 0.5 and start == 8 and step == 20").iloc[1]
    losses = [runs[m, 0.5].full_loss[2, 0, 1].mean() for m in ("liprune", "random")]
    assert row.ratio == pytest.approx(losses[0] / losses[1])


def test_pairs_without_losses_compare_excess_over_the_noise_floor():
    pruned = simulate(Setting((11.0,), (0.2,), (0.1,), (5,)), num_runs=50)
    weights = [pruned[m, 0.1].weight[0, 0, 0] for m in ("liprune", "random")]
    ours, theirs = ((population_loss(w) - NOISE_SD**2 / 2).mean() for w in weights)
    assert pair_table(pruned).ratio[0] == pytest.approx(ours / theirs)


def synthetic(ratio: float, near: float, num_runs: int = 2000) -> dict[Pruning, Paths]:
    """Paths in which LiPrune has so many times the loss, and a share of random runs arrives."""
    spread = np.linspace(0.49, 0.51, num_runs)[None, None, None]
    arrived = np.where(np.arange(num_runs) < near * num_runs, 12.05, 8.0)[None, None, None]
    setting = Setting(losses=("full",))
    return {
        Pruning("liprune", 0.1): Paths(setting, np.full_like(arrived, 8.0), spread, ratio * spread),
        Pruning("random", 0.1): Paths(setting, arrived, spread, spread),
    }


@pytest.mark.parametrize(
    ("ratio", "near", "verdict"),
    [
        (1.01, 0.0, "inconclusive"),
        (1.3, 0.001, "inconclusive"),
        (1.01, 0.1, "holds"),
        (0.9, 0.1, "does-not-hold"),
        (1.06, 0.1, "does-not-hold"),
    ],
)
def test_rule_of_the_register(ratio, near, verdict):
    claim = advantage_claim(synthetic(ratio, near), cost=1)
    assert claim.verdict == verdict
    assert claim.estimate == pytest.approx(ratio)
    assert f"{near:.1%} are near" in claim.note


def test_claim_reports_the_papers_rate_and_names_the_other():
    near, far = synthetic(1.3, 0.1), synthetic(1.01, 0.0)
    setting = Setting(learning_rates=(0.2, 0.4), losses=("full",))
    both = {
        pruning: Paths(setting, *(
            np.concatenate([getattr(paths[pruning], name) for paths in (far, near)], axis=2)
            for name in ("weight", "kept_loss", "full_loss")
        ))
        for pruning in near
    }  # fmt: skip
    claim = advantage_claim(both, cost=1.26)
    assert claim.id in load_register()
    assert (claim.verdict, claim.cost, claim.num_runs) == ("inconclusive", 1.3, 2000)
    assert claim.estimate == pytest.approx(1.01)
    assert "10.0% are near (random, keep 0.1)" in claim.note
    assert "LiPrune's loss is 30.0% higher than random pruning's" in claim.note
    assert claim.note.endswith("does not hold.")


def test_from_the_plain_no_one_arrives_and_from_the_well_liprune_is_faster():
    pruned = simulate(Setting((8.0, 11.0), (0.2,), (0.1,), (10,)), num_runs=200)
    table = end_table(pruned)
    assert table.near[table.start == 8].max() == 0
    pair = pair_table(pruned).set_index("start")
    assert pair.ratio_high[11.0] < 0.1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keep_fraction", 0.005),  # keeps fewer than a batch of ten
        ("keep_fraction", 1.0),  # prunes nothing
        ("learning_rate", 0.0),
        ("start", float("nan")),
        ("num_draws", 4999),
        ("num_runs", 99),
        ("seed", -1),
    ],
)
def test_parameters_out_of_range_are_refused(name, value):
    limits = {
        "keep_fraction": 0.01, "learning_rate": 10.0, "start": -20.0, "num_draws": 5000,
        "num_runs": 100, "seed": 0, "results_dir": "reruns/x",
    }  # fmt: skip
    SineParameters(**limits)
    with pytest.raises(InputError, match=f"{name} is {value}; expected"):
        SineParameters(**limits | {name: value})
