import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from experiments.your_problem.own_data import read_classes, read_targets
from experiments.your_problem.runs import (
    OwnProblemParameters,
    as_dataset,
    check_step,
    comparison,
    difference,
    largest_curvature,
    split,
)
from liprune_utils.checks import InputError

GOOD = {
    "classes_file": "", "targets_file": "", "keep_fraction": 0.2, "scores": ["loss", "random"],
    "num_epochs": 1, "num_seeds": 2, "num_steps": 10, "step_size": 0.01, "num_runs": 2,
    "results_dir": "reruns/x",
}  # fmt: skip


def test_a_split_is_standardised_by_its_training_part():
    train, test = split(read_targets(""), seed=3)
    assert len(train.y) == 332
    assert len(test.y) == 110
    np.testing.assert_allclose(train.x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(train.x.std(axis=0), 1)
    np.testing.assert_allclose([train.y.mean(), train.y.std()], [0, 1], atol=1e-12)
    assert abs(test.y.mean()) > 1e-6  # by the training part's mean, not its own


def test_a_split_keeps_classes_and_examples_together():
    examples = read_classes("")
    train, test = split(examples, seed=0)
    assert sorted([*train.y, *test.y]) == sorted(examples.y)
    assert (examples.x.std(axis=0) == 0).any()
    assert np.isfinite(train.x).all()
    inputs, labels = as_dataset(train)[5]
    assert labels == train.y[5]
    np.testing.assert_allclose(inputs, train.x[5], rtol=1e-6)


def test_a_comparison_is_paired():
    seeds = np.arange(4)
    errors = {"loss": 3.0 + 10 * seeds, "random": 1.0 + 10 * seeds}
    rows = pd.concat([
        pd.DataFrame({"score": name, "seed": seeds, "error": values})
        for name, values in errors.items()
    ])  # fmt: skip
    table = comparison(rows, "error").set_index("score")
    assert tuple(table.loc["loss", ["difference", "low", "high"]]) == (2, 2, 2)
    assert table.loc["random", ["difference", "low", "high"]].isna().all()
    assert table.loc["random", "sd"] == pytest.approx(np.std(errors["random"], ddof=1))
    assert difference(comparison(rows, "error"), "loss") == (2, 2, 2, 4)


@pytest.mark.parametrize(
    ("loss", "constant"),
    [
        (lambda z, y: (z - y) ** 2 / 2, 1),
        (lambda z, y: functional.softplus(-y * z), 1 / 4),
        (lambda z, y: torch.logaddexp(z - y, y - z), 1),
        (lambda z, y: functional.relu(1 - y * z) ** 2, 2),
        (lambda z, y: (torch.sin(z) - y) ** 2 / 2, 2),  # not convex; x^2 (1 + |y|)
        (lambda z, y: y * z, 0),
    ],
)
def test_the_largest_curvature_is_the_known_one(loss, constant):
    assert largest_curvature(loss, np.array([-1.0, 1.0])) == pytest.approx(constant, rel=1e-6)


def test_the_largest_curvature_is_found_at_any_target():
    def loss(z, y):
        return torch.logaddexp(z - y, y - z)

    assert largest_curvature(loss, np.array([-1.0, 1e6])) == pytest.approx(1, rel=1e-6)


def test_a_loss_without_a_constant_is_refused():
    with pytest.raises(InputError, match="so that a Lipschitz constant exists"):
        largest_curvature(lambda z, y: torch.exp(z) - y * z, np.array([0.0, 3.0]))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"keep_fraction": 0.0}, "keep_fraction is 0.0; expected a number above 0, at most 1"),
        ({"scores": ["loss"]}, "expected 'random' and others"),
        ({"scores": ["random", "random"]}, "expected 'random' and others"),
        ({"scores": ["random"]}, "expected 'random' and others"),
        ({"scores": ["random", "forgetting"]}, "expected a list, each one of 'hessian', "),
        ({"num_seeds": 1}, "num_seeds is 1; expected a whole number from 2 to 1000"),
        (
            {"targets_file": "none.npz"},
            "targets_file is 'none.npz'; expected an .npz or .csv fi",
        ),
    ],
)
def test_bad_parameters_are_refused(given, words):
    OwnProblemParameters(**GOOD)
    with pytest.raises(InputError, match=re.escape(words)):
        OwnProblemParameters(**(GOOD | given))


def test_steps_that_diverge_are_refused_with_those_that_do_not():
    check_step(0.5, 4)
    with pytest.raises(InputError, match=r"^step_size is 0.6; expected at most 0\.5 for .*: -p st"):
        check_step(0.6, 4)
    with pytest.raises(InputError, match=r"at most 0\.028 for these data, .* -p step_size 0\.02\."):
        check_step(0.03, 2 / 0.0279)
