"""How a network is trained: the paper's choices, the decay of the rate, what is refused."""

import math
from dataclasses import FrozenInstanceError, astuple, fields, replace
from itertools import product

import pytest
from synthetic import POINT

from liprune_utils.checks import InputError
from liprune_utils.scores import SCORES
from liprune_utils.settings import BATCH_METHODS, EXAMPLE_METHODS, Point, Recipe

NAN = math.nan
SMALL = Recipe(num_images=14, num_test_images=40, batch_size=4, num_epochs=3)
BAD = {
    "depth": [(depth, "6n + 2, such as 14 or 20, up to 1202") for depth in (2, 15, 1208)],
    "learning_rate": [(0, "a step size in (0, 1]"), (1.5, "a step size in (0, 1]")],
    "num_epochs": [(-1, "from 0 to 10000"), (10_001, "from 0 to 10000")],
    "num_images": [(1, "from 2 to 50000"), (50_001, "from 2 to 50000")],
    "num_test_images": [(0, "from 1 to 10000"), (10_001, "from 1 to 10000")],
    "batch_size": [(1, "from 2 to num_images, 14"), (15, "from 2 to num_images, 14")],
    "momentum": [(-0.1, "a number in [0, 1)"), (1, "a number in [0, 1)")],
    "weight_decay": [(-1e-4, "from 0 to 1"), (1.1, "from 0 to 1")],
    "augment": [(1, "True or False, not a whole number")],
    "precision": [("float16", "one of ('float32', 'bfloat16')")],
    "seed": [
        (-1, "from 0 to 2^63 - 1"),
        (2**63, "from 0 to 2^63 - 1"),
        (1.0, "a whole number, not a number"),
    ],
}
CASES = [(name, *case) for name, cases in BAD.items() for case in cases]


def test_the_defaults_are_the_papers():
    assert astuple(Recipe())[:7] == (14, 0.01, (80, 120), 164, 50_000, 10_000, 128)
    assert Recipe().precision == "float32"


def test_a_recipe_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        SMALL.seed = 1


def test_the_rate_is_divided_by_ten_at_the_start_of_each_decay_epoch():
    recipe = Recipe(learning_rate=0.05, decay_epochs=(4, 2))
    rates = [recipe.rate(epoch) for epoch in range(1, 6)]
    assert rates == pytest.approx([0.05, 0.005, 0.005, 0.0005, 0.0005])
    assert Recipe(learning_rate=0.05, decay_epochs=()).rate(999) == 0.05


@pytest.mark.parametrize(("name", "value", "expected"), CASES)
def test_a_bad_value_is_refused_in_one_sentence(name, value, expected):
    with pytest.raises(InputError) as refused:
        replace(SMALL, **{name: value})
    assert str(refused.value) == f"{name} is {value!r}; expected {expected}."


@pytest.mark.parametrize("name", ["learning_rate", "momentum", "weight_decay"])
def test_nan_is_refused(name):
    with pytest.raises(InputError, match=f"^{name} is nan; expected "):
        replace(SMALL, **{name: NAN})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([80, 0], "decay_epochs is 0; expected epochs from 1."),
        ((1.5,), "decay_epochs is (1.5,); expected a list, each a whole number, not a tuple."),
        (80, "decay_epochs is 80; expected a list, each a whole number, not a whole number."),
    ],
)
def test_a_bad_decay_epoch_is_refused_in_one_sentence(value, message):
    with pytest.raises(InputError) as refused:
        replace(SMALL, decay_epochs=value)
    assert str(refused.value) == message


def test_a_last_batch_of_one_image_is_refused():
    assert replace(SMALL, num_images=10).num_images == 10
    with pytest.raises(InputError, match=r"^num_images is 9; .* beside batches of 4"):
        replace(SMALL, num_images=9)


def test_the_ends_of_the_ranges_are_welcome():
    low = {"depth": 8, "learning_rate": 1, "num_epochs": 0, "num_images": 2, "batch_size": 2}
    low |= {"num_test_images": 1, "momentum": 0, "weight_decay": 0, "decay_epochs": (), "seed": 0}
    assert replace(SMALL, **low).num_images == 2
    high = {"num_images": 50_000, "batch_size": 50_000, "num_test_images": 10_000}
    assert replace(SMALL, **high, weight_decay=1, precision="bfloat16").batch_size == 50_000


def test_every_field_has_a_bad_value_here():
    assert {field.name for field in fields(Recipe)} == {*BAD, "decay_epochs"}


def test_recipes_with_the_same_values_are_one():
    lists, tuples = (Recipe(decay_epochs=kind([1, 2])) for kind in (list, tuple))
    assert lists == tuples
    assert len({lists, tuples, replace(lists, seed=1)}) == 2


PRUNED = replace(POINT, method="liprune", keep_fraction=0.5, prune_epoch=2)
BAD_POINTS = [
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


@pytest.mark.parametrize(("name", "value", "expected"), BAD_POINTS)
def test_a_bad_value_of_a_point_is_refused_in_one_sentence(name, value, expected):
    assert refusal(PRUNED, **{name: value}) == f"{name} is {value!r}; expected {expected}."


@pytest.mark.parametrize("name", ["keep_fraction", "tolerance"])
def test_nan_in_a_point_is_refused(name):
    assert refusal(PRUNED, **{name: float("nan")}).startswith(f"{name} is nan; expected ")


def test_every_field_of_its_own_has_a_bad_value_here():
    own = {field.name for field in fields(Point)} - {field.name for field in fields(Recipe)}
    assert {name for name, _, _ in BAD_POINTS} == own


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
