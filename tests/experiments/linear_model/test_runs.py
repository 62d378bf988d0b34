"""The linear-model experiment: the same numbers as a plain loop, in any blocks, paired."""

import numpy as np
import pytest

from experiments.linear_model.runs import (
    PAPER_FIGURES,
    LinearModelParameters,
    Paths,
    Pruning,
    Setting,
    prunings,
    simulate,
    stream,
)
from liprune_utils.checks import InputError
from liprune_utils.problems import draw_linear
from liprune_utils.sgd import Moments, descend, distinct_batches

SEED, SLOPE, NUM_RUNS = 3, 1.5, 5
SETTINGS = {"first": Setting(10, 0.01, (0.1, 0.5)), "few": Setting(1, 0.02, (0.004,))}
SETS = ("test", "kept", "full")


def run(settings=SETTINGS, **options):
    return simulate(settings, **({"num_runs": NUM_RUNS, "seed": SEED, "slope": SLOPE} | options))


@pytest.fixture(scope="module")
def runs():
    return run()


def loss(x, y, w):
    return np.mean([(w * x_i - y_i) ** 2 / 2 for x_i, y_i in zip(x, y, strict=True)])


def one_by_one(setting, method, keep_fraction):
    """Errors and losses of one curve, one run and one step after the other."""
    data, test, choice = (stream(SEED, purpose) for purpose in ("data", "test", "choice"))
    count = round(1000 * keep_fraction)
    batches = stream(SEED, "batches", count)
    errors, losses = [], []
    for _ in range(NUM_RUNS):
        train, fresh = (
            draw_linear(draw, 1, n, slope=SLOPE) for draw, n in ((data, 1000), (test, 400))
        )
        scores = choice.random(1000)
        (x,), (y,) = train.x, train.y
        scores = x**2 if method == "liprune" else scores
        kept = sorted(range(1000), key=lambda i, scores=scores: -scores[i])[:count]
        w = [0.0]
        for batch in distinct_batches(batches, 1, count, min(count, 100), 30):
            points = [kept[i] for i in batch[: setting.batch_size, 0]]
            gradients = [x[i] * (w[-1] * x[i] - y[i]) for i in points]
            w.append(w[-1] - setting.learning_rate * np.mean(gradients))
        sets = (fresh.x[0], fresh.y[0]), (x[kept], y[kept]), (x, y)
        errors.append(np.array(w) - SLOPE)
        losses.append([[loss(*points, w[step]) for step in (0, 7, 30)] for points in sets])
    return np.transpose(errors), np.transpose(losses, (1, 2, 0))  # [31, run], [set, step, run]


@pytest.mark.parametrize(
    ("key", "method", "keep_fraction"),
    [
        ("first", "liprune", 0.1),
        ("first", "random", 0.5),
        ("first", "none", 1.0),
        ("few", "liprune", 0.004),
        ("few", "random", 0.004),
    ],
)
def test_numbers_are_those_of_a_plain_loop(runs, key, method, keep_fraction):
    paths = runs[key][method, keep_fraction]
    errors, losses = one_by_one(SETTINGS[key], method, keep_fraction)
    np.testing.assert_allclose(paths.error, errors, rtol=0, atol=1e-12)
    for name, expected in zip(SETS, losses, strict=True):
        np.testing.assert_allclose(paths.loss(name)[[0, 7, 30]], expected, rtol=1e-9)
    excess = paths.loss("test") - paths.sets["test"].nn / 2
    np.testing.assert_allclose(paths.excess_test_loss(), excess, atol=1e-12)
    assert paths.sets["kept"].num_points == round(1000 * keep_fraction)


def assert_same(first, second):  # the order of a sum may differ, not the draws
    assert list(first) == list(second)
    for key, pruned in first.items():
        assert list(pruned) == list(second[key])
        for pruning, paths in pruned.items():
            other = second[key][pruning]
            np.testing.assert_allclose(paths.error, other.error, rtol=1e-9, atol=1e-12)
            for name in SETS:
                np.testing.assert_allclose(paths.loss(name), other.loss(name), rtol=1e-9)


@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("settings", [SETTINGS, {0: Setting(10, 0.02, (1.0,))}])
def test_numbers_do_not_depend_on_the_block(settings, block):
    assert_same(run(settings, block=block), run(settings))


def test_numbers_do_not_depend_on_the_other_settings(runs):
    assert_same(run({"few": SETTINGS["few"]}), {"few": runs["few"]})


def test_seed_changes_the_numbers(runs):
    first, other = (r["first"]["liprune", 0.1].error[1:] for r in (runs, run(seed=4)))
    assert not np.isclose(first, other).any()


def test_figures_are_the_papers():
    assert {key: setting[:2] for key, setting in PAPER_FIGURES.items()} == {
        1: (10, 0.01), 5: (10, 0.005), 6: (10, 0.05), 7: (1, 0.01), 8: (20, 0.01), 9: (100, 0.01),
    }  # fmt: skip
    pairs = [Pruning(m, f) for f in (0.1, 0.3, 0.5, 0.7) for m in ("liprune", "random")]
    for setting in PAPER_FIGURES.values():
        assert prunings(setting.keep_fractions) == [*pairs, Pruning("none", 1.0)]


def test_methods_share_all_but_the_choice_of_points(runs):
    for pruned in runs.values():
        for (method, fraction), liprune in pruned.items():
            if method == "liprune":
                random = pruned["random", fraction]
                for name in ("test", "full"):
                    np.testing.assert_array_equal(liprune.sets[name].xn, random.sets[name].xn)
                assert (liprune.sets["kept"].xx > random.sets["kept"].xx).all()
                np.testing.assert_array_equal(liprune.loss("test")[0], random.loss("test")[0])


def test_liprune_at_keep_1_is_no_pruning_in_distribution():
    pruned = run({0: Setting(10, 0.02, (1.0,))}, num_runs=400)[0]
    liprune, none = (pruned[method, 1.0] for method in ("liprune", "none"))
    for moment in ("xx", "x4", "xn", "nn"):
        everything = getattr(liprune.sets["full"], moment)
        np.testing.assert_allclose(getattr(liprune.sets["kept"], moment), everything, rtol=1e-9)
    difference = (liprune.loss("test") - none.loss("test"))[1:]
    assert (np.abs(difference.mean(axis=1)) < 5 * difference.std(axis=1) / 20).all()


def test_expected_losses_of_few_points():  # where SGD's having seen the noise matters
    draw, num_runs, setting = stream(SEED, "data"), 20_000, Setting(2, 0.05)
    x = np.repeat([[3.0], [-2.0], [1.0], [0.5], [-1.5]], num_runs, axis=1)  # 3 of 5 are kept
    noise, fresh = 0.2 * draw.normal(size=(2, 5, num_runs))
    xx, xy = x**2, x * (SLOPE * x + noise)
    batches = [batch.copy() for batch in distinct_batches(draw, num_runs, 3, 2, 30)]
    means = [np.array([v.take(batch).mean(axis=0) for batch in batches]) for v in (xx, xy)]
    sets = {"test": (x, fresh), "kept": (x[:3], noise[:3]), "full": (x, noise)}
    error = descend(*means, setting.learning_rate) - SLOPE
    paths = Paths(setting, SLOPE, error, {name: Moments.of(*pair) for name, pair in sets.items()})
    for name, expected in paths.expected_losses().items():
        loss = paths.loss(name)
        z = (loss - expected).mean(axis=1) / loss.std(axis=1) * np.sqrt(num_runs)
        assert np.abs(z).max() < 4, name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slope": 0.0}, "slope is 0.0; expected not 0, and at most 1000"),
        ({"batch_size": 201}, "batch_size is 201; expected from 1 to the 200 points"),
        ({"keep_fraction": 0.001}, "batch_size is 10; expected from 1 to the 1 points"),
    ],
)
def test_a_batch_must_fit_into_the_kept_points(changes, message):
    given = {"learning_rate": 0.02, "batch_size": 10, "keep_fraction": 0.2, "slope": 1.0}
    given |= {"num_runs": 100, "seed": 0, "results_dir": "x"}
    LinearModelParameters(**given)
    with pytest.raises(InputError, match=message):
        LinearModelParameters(**given | changes)
