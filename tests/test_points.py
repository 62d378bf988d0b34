"""Points of a grid: what is refused, what they share, what they are called."""

from dataclasses import fields, replace
from itertools import product

import pytest
from synthetic import POINT

from liprune_utils.parameters import InputError
from liprune_utils.points import BATCH_METHODS, EXAMPLE_METHODS, Point
from liprune_utils.recipes import Recipe
from liprune_utils.scores import SCORES

PRUNED = replace(POINT, method="liprune", keep_fraction=0.5, prune_epoch=2)
BAD = [
    ("method", "hessian-batch", f"one of {', '.join(BATCH_METHODS + EXAMPLE_METHODS)}"),
    ("method", 3, "a text, not a whole number"),
    ("keep_fraction", 0.0, "a fraction in (0, 1]"),
    ("keep_fraction", 1.1, "a fraction in (0, 1]"),
    ("prune_epoch", 0, "an epoch from 1 to num_epochs, 3"),
    ("prune_epoch", 4, "an epoch from 1 to num_epochs, 3"),
    ("batch_norm", "both", "'train' or 'eval'"),
    ("tolerance", 0.0, "a number in (0, 1)"),
    ("tolerance", 1.0, "a number in (0, 1)"),
    ("tolerance", "0.1", "a number, not a text"),
]


def refusal(point: Point, **changes) -> str:
    with pytest.raises(InputError) as refused:
        replace(point, **changes)
    return str(refused.value)


@pytest.mark.parametrize(("name", "value", "expected"), BAD)
def test_a_bad_value_is_refused_in_one_sentence(name, value, expected):
    assert refusal(PRUNED, **{name: value}) == f"{name} is {value!r}; expected {expected}."


@pytest.mark.parametrize("name", ["keep_fraction", "tolerance"])
def test_nan_is_refused(name):
    assert refusal(PRUNED, **{name: float("nan")}).startswith(f"{name} is nan; expected ")


def test_every_field_of_its_own_has_a_bad_value_here():
    own = {field.name for field in fields(Point)} - {field.name for field in fields(Recipe)}
    assert {name for name, _, _ in BAD} == own


def test_the_recipe_of_a_point_is_checked():
    message = "depth is 15; expected 6n + 2, such as 14 or 20, up to 1202."
    assert refusal(PRUNED, depth=15) == message


@pytest.mark.parametrize(("fraction", "epoch"), [(0.5, 1), (1.0, 2), (0.5, 2)])
def test_without_pruning_there_is_no_fraction_and_no_epoch(fraction, epoch):
    found = refusal(POINT, keep_fraction=fraction, prune_epoch=epoch)
    known = "expected (1.0, 1) where the method is none."
    assert found == f"keep_fraction, prune_epoch is {(fraction, epoch)}; {known}"


def test_forgetting_needs_an_epoch_before_the_pruning():
    assert replace(PRUNED, method="forgetting").prune_epoch == 2
    message = "prune_epoch is 1; expected an epoch from 2 on where the method is forgetting."
    assert refusal(PRUNED, method="forgetting", prune_epoch=1) == message


@pytest.mark.parametrize("method", BATCH_METHODS[1:] + EXAMPLE_METHODS)
def test_every_method_is_welcome(method):
    point = replace(PRUNED, method=method, prune_epoch=3, keep_fraction=1, batch_norm="eval")
    assert point.method == method


def test_methods_are_the_scores_and_three_of_batches():
    assert set(BATCH_METHODS) == {"none", "random", "liprune"}
    assert set(EXAMPLE_METHODS) == set(SCORES) - {"hessian-batch", "random"}


def test_a_point_without_epochs_is_a_network_before_training():
    assert replace(POINT, num_epochs=0).prune_epoch == 1


def test_what_comes_before_the_pruning_is_shared():
    others = product(BATCH_METHODS[1:] + EXAMPLE_METHODS, (0.2, 1), (3, 9), ("train", "eval"))
    names = ("method", "keep_fraction", "num_epochs", "batch_norm")
    points = [replace(PRUNED, **dict(zip(names, other, strict=True))) for other in others]
    points.append(replace(PRUNED, tolerance=0.5))
    assert {point.before_pruning() for point in points} == {replace(POINT, num_epochs=1)}


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 14}, {"learning_rate": 0.1}, {"decay_epochs": (1,)}, {"num_images": 14},
        {"num_test_images": 41}, {"batch_size": 5}, {"momentum": 0.5}, {"weight_decay": 0.0},
        {"augment": False}, {"precision": "bfloat16"}, {"seed": 1}, {"prune_epoch": 3},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_what_decides_the_network_before_the_pruning_is_not_shared(change):
    before = replace(PRUNED, **change).before_pruning()
    assert before != PRUNED.before_pruning()
    recipe = {"num_epochs": PRUNED.prune_epoch - 1} | change
    if epoch := recipe.pop("prune_epoch", None):
        recipe["num_epochs"] = epoch - 1
    assert before == replace(POINT, **recipe)


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"method": "el2n", "keep_fraction": 0.2}, "resnet14-el2n-keep0.2-prune1-rate0.01-seed0"),
        ({"seed": 3, "learning_rate": 0.1}, "resnet14-none-rate0.1-seed3"),
        (
            {"depth": 8, "method": "random", "keep_fraction": 1, "prune_epoch": 5},
            "resnet8-random-keep1-prune5-rate0.01-seed0",
        ),
    ],
)
def test_the_label_says_what_it_is(changes, label):
    assert Point(**changes).label == label


def test_equal_points_are_one_whatever_they_were_typed_as():
    typed = replace(PRUNED, decay_epochs=[3], learning_rate=1, weight_decay=0)
    same = replace(PRUNED, decay_epochs=(3,), learning_rate=1.0, weight_decay=0.0)
    assert typed == same
    assert repr(typed) == repr(same)
    assert len({typed, same, replace(same, seed=1)}) == 2


def test_what_does_not_matter_to_a_method_does_not_tell_points_apart():
    for method in ("none", "random", "el2n"):
        kept = {} if method == "none" else {"keep_fraction": 0.5}
        coarse = Point(method=method, tolerance=0.2, batch_norm="eval", **kept)
        assert coarse == Point(method=method, **kept)
    for method in ("liprune", "hessian"):
        assert Point(method=method, tolerance=0.2) != Point(method=method)
