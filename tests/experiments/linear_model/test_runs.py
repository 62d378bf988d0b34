"""The linear-model experiment: the same numbers as a plain loop, in any blocks, paired."""

import numpy as np
import pytest

from experiments.linear_model.runs import PAPER_FIGURES, Cell, Runs, Setting, simulate, stream
from liprune_utils.problems import draw_linear
from liprune_utils.sgd import Moments, descend, distinct_batches

SEED, SLOPE, NUM_RUNS = 3, 1.5, 5
SETTINGS = (Setting(1, 10, 0.01, (0.1, 0.5)), Setting(7, 1, 0.02, (0.004,)))
SETS = ("test", "kept", "full")


def run(settings=SETTINGS, **options):
    return simulate(settings, **({"num_runs": NUM_RUNS, "seed": SEED, "slope": SLOPE} | options))


def ordered(scores):
    return sorted(range(len(scores)), key=lambda i: -scores[i])


def loss(x, y, w):
    return np.mean([(w * x_i - y_i) ** 2 / 2 for x_i, y_i in zip(x, y, strict=True)])


def one_by_one(setting, method, keep_fraction):
    """Errors and losses of one curve, one run and one step after the other."""
    data, test, choice = (stream(SEED, purpose) for purpose in ("data", "test", "choice"))
    count = round(1000 * keep_fraction)
    batches = stream(SEED, "batches", count)
    drawn = min(count, 100)
    size = setting.batch_size
    errors, losses = [], []
    for _ in range(NUM_RUNS):
        train, fresh = (
            draw_linear(draw, 1, n, slope=SLOPE) for draw, n in ((data, 1000), (test, 400))
        )
        scores = choice.random(1000)
        (x,), (y,) = train.x, train.y
        kept = ordered(x**2 if method == "liprune" else scores)[:count]
        w = [0.0]
        for batch in distinct_batches(batches, 1, count, drawn, 30):
            gradients = [x[kept[i]] * (w[-1] * x[kept[i]] - y[kept[i]]) for i in batch[:size, 0]]
            w.append(w[-1] - setting.learning_rate * np.mean(gradients))
        points = {"test": (fresh.x[0], fresh.y[0]), "kept": (x[kept], y[kept]), "full": (x, y)}
        errors.append(np.array(w) - SLOPE)
        losses.append([[loss(*points[name], w[step]) for name in SETS] for step in (0, 7, 30)])
    return np.transpose(errors), np.transpose(losses)  # [31, run], [set, step, run]


@pytest.mark.parametrize(
    ("setting", "method", "keep_fraction"),
    [
        (SETTINGS[0], "liprune", 0.1),
        (SETTINGS[0], "random", 0.5),
        (SETTINGS[0], "none", 1.0),
        (SETTINGS[1], "liprune", 0.004),
        (SETTINGS[1], "random", 0.004),
    ],
)
def test_numbers_are_those_of_a_plain_loop(setting, method, keep_fraction):
    found = run()[Cell(setting.figure, method, keep_fraction)]
    errors, losses = one_by_one(setting, method, keep_fraction)
    np.testing.assert_allclose(found.error, errors, rtol=0, atol=1e-12)
    for name, expected in zip(SETS, losses, strict=True):
        np.testing.assert_allclose(found.loss(name)[[0, 7, 30]], expected, rtol=1e-9)
    excess = found.loss("test") - found.sets["test"].nn / 2
    np.testing.assert_allclose(found.excess_test_loss(), excess, atol=1e-12)


def close(found, expected):  # the order of a sum may differ, not the draws
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def same(first, second):
    assert list(first) == list(second)
    for cell in first:
        close(first[cell].error, second[cell].error)
        for name in SETS:
            close(first[cell].loss(name), second[cell].loss(name))


@pytest.mark.parametrize("block", [1, 2, 4])
def test_numbers_do_not_depend_on_the_block(block):
    same(run(block=block), run())


def test_numbers_do_not_depend_on_the_block_where_all_is_kept():
    settings = [Setting(0, 10, 0.02, (1.0,))]  # a reader's keep_fraction may be 1
    same(run(settings, block=2), run(settings))


def test_numbers_do_not_depend_on_the_other_figures():
    together, alone = run(), run(SETTINGS[1:])
    same(alone, {cell: together[cell] for cell in alone})


def test_seed_changes_the_numbers():
    cell = Cell(1, "liprune", 0.1)
    assert not np.isclose(run()[cell].error[1:], run(seed=4)[cell].error[1:]).any()


def test_curves_come_in_the_order_of_the_figures():
    cells = list(simulate(PAPER_FIGURES, num_runs=1))
    panels = [(f, m) for f in (0.1, 0.3, 0.5, 0.7) for m in ("liprune", "random")]
    expected = [Cell(s.figure, m, f) for s in PAPER_FIGURES for f, m in [*panels, (1.0, "none")]]
    assert cells == expected
    assert [tuple(s)[:3] for s in PAPER_FIGURES] == [
        (1, 10, 0.01), (5, 10, 0.005), (6, 10, 0.05), (7, 1, 0.01), (8, 20, 0.01), (9, 100, 0.01),
    ]  # fmt: skip


def test_methods_share_all_but_the_choice_of_points():
    runs = run()
    for cell, liprune in runs.items():
        if cell.method == "liprune":
            random = runs[cell._replace(method="random")]
            for name in ("test", "full"):
                np.testing.assert_array_equal(liprune.sets[name].xn, random.sets[name].xn)
            assert (liprune.sets["kept"].xx > random.sets["kept"].xx).all()
            np.testing.assert_array_equal(liprune.loss("test")[0], random.loss("test")[0])


def test_liprune_at_keep_1_is_no_pruning_in_distribution():
    runs = run([Setting(0, 10, 0.02, (1.0,))], num_runs=400)
    liprune, none = (runs[Cell(0, method, 1.0)] for method in ("liprune", "none"))
    for moment in ("xx", "x4", "xn", "nn"):
        everything = getattr(liprune.sets["full"], moment)
        np.testing.assert_allclose(getattr(liprune.sets["kept"], moment), everything, rtol=1e-9)
    difference = (liprune.loss("test") - none.loss("test"))[1:]
    assert (np.abs(difference.mean(axis=1)) < 5 * difference.std(axis=1) / 20).all()


def test_kept_constants_are_the_largest_of_each_run():
    kept = run()[Cell(7, "liprune", 0.004)].sets["kept"]
    x = draw_linear(stream(SEED, "data"), NUM_RUNS, 1000).x
    np.testing.assert_allclose(kept.xx, np.sort(x**2)[:, -4:].mean(axis=1), rtol=1e-12)
    assert kept.num_points == 4


def test_expected_losses_of_few_points():
    draw, num_runs, setting = stream(SEED, "data"), 20_000, Setting(0, 2, 0.05)
    x = np.repeat([[3.0], [-2.0], [1.0], [0.5], [-1.5]], num_runs, axis=1)  # 3 of 5 are kept
    noise, fresh = 0.2 * draw.normal(size=(2, 5, num_runs))
    xx, xy = x**2, x * (SLOPE * x + noise)
    batches = [batch.copy() for batch in distinct_batches(draw, num_runs, 3, 2, 30)]
    means = [np.array([v.take(batch).mean(axis=0) for batch in batches]) for v in (xx, xy)]
    sets = {"test": (x, fresh), "kept": (x[:3], noise[:3]), "full": (x, noise)}
    error = descend(*means, setting.learning_rate) - SLOPE
    runs = Runs(setting, SLOPE, error, {name: Moments.of(*pair) for name, pair in sets.items()})
    for name, expected in runs.expected_losses().items():
        loss = runs.loss(name)
        z = (loss - expected).mean(axis=1) / loss.std(axis=1) * np.sqrt(num_runs)
        assert np.abs(z).max() < 4, name
