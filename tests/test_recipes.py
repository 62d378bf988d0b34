"""How a network is trained: the paper's choices, the decay of the rate, what is refused."""

import math
from dataclasses import FrozenInstanceError, astuple, fields, replace

import pytest

from liprune_utils.parameters import InputError
from liprune_utils.recipes import Recipe

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
