"""Settings of a run: the paper's defaults, what is refused, and which runs are one and the same."""

from itertools import product

import pytest
from synthetic import RUN

from liprune_utils.checks import InputError
from liprune_utils.scores import SCORES
from liprune_utils.settings import BATCH_METHODS, EXAMPLE_METHODS, METHODS, Recipe, TrainingRun

PRUNED = RUN.replace(method="liprune", keep_fraction=0.5, prune_epoch=2)
DEPTHS = "6n + 2, such as 14 or 20, up to 1202"
BAD = [
    *(("depth", depth, DEPTHS) for depth in (2, 15, 1208)),
    *(("learning_rate", rate, "a step size in (0, 1]") for rate in (0, 1.5, "0.1", float("nan"))),
    ("decay_epochs", [80, 0], "a list, each a whole number from 1"),
    ("decay_epochs", [1.5], "a list, each a whole number from 1"),
    ("decay_epochs", 80, "a list, each a whole number from 1"),
    ("decay_epochs", [2, 2], "each epoch once"),
    *(("num_epochs", number, "a whole number from 0 to 10000") for number in (-1, 10_001)),
    *(("num_images", number, "a whole number from 2 to 50000") for number in (1, 50_001)),
    ("num_images", 9, "a number that does not leave a last batch of one beside batches of 4"),
    *(("num_test_images", number, "a whole number from 1 to 10000") for number in (0, 10_001)),
    ("batch_size", 1, "a whole number from 2"),
    ("batch_size", 13, "from 2 to num_images, 12"),
    *(("momentum", value, "a number in [0, 1)") for value in (-0.1, 1)),
    *(("weight_decay", value, "a number from 0 to 1") for value in (-1e-4, 1.1, float("nan"))),
    ("augment", 1, "True or False"),
    ("precision", "float16", "one of 'float32', 'bfloat16'"),
    *(("seed", seed, "a whole number from 0 to 2^63 - 1") for seed in (-1, 2**63, 1.0)),
    *(("method", name, f"one of {', '.join(METHODS)}") for name in ("hessian-batch", 3)),
    *(("keep_fraction", value, "a fraction in (0, 1]") for value in (0.0, 1.1, float("nan"))),
    ("prune_epoch", 0, "a whole number from 1"),
    ("prune_epoch", 4, "an epoch from 1 to num_epochs, 3"),
    ("batch_norm", "both", "one of 'train', 'eval'"),
    *(("tolerance", value, "a number in (0, 1)") for value in (0.0, 1.0, "0.1", float("nan"))),
]


def refusal(run: TrainingRun, **changes) -> str:
    with pytest.raises(InputError) as refused:
        run.replace(**changes)
    return str(refused.value)


@pytest.mark.parametrize(("name", "value", "expected"), BAD)
def test_a_bad_value_is_refused_in_one_sentence(name, value, expected):
    assert refusal(PRUNED, **{name: value}) == f"{name} is {value!r}; expected {expected}."


def test_every_field_has_a_bad_value_here():
    assert {name for name, _, _ in BAD} == set(TrainingRun.model_fields)


@pytest.mark.parametrize(("fraction", "epoch"), [(0.5, 1), (1.0, 2), (0.5, 2)])
def test_without_pruning_there_is_no_fraction_and_no_epoch(fraction, epoch):
    known = "expected (1.0, 1) where the method is none."
    found = refusal(RUN, keep_fraction=fraction, prune_epoch=epoch)
    assert found == f"keep_fraction, prune_epoch is {(fraction, epoch)}; {known}"


def test_forgetting_needs_an_epoch_before_the_pruning():
    assert PRUNED.replace(method="forgetting").prune_epoch == 2
    message = "prune_epoch is 1; expected an epoch from 2 on where the method is forgetting."
    assert refusal(PRUNED, method="forgetting", prune_epoch=1) == message


def test_the_ends_of_the_ranges_are_welcome():
    low = {"depth": 8, "learning_rate": 1, "num_epochs": 0, "num_images": 2, "batch_size": 2}
    low |= {"num_test_images": 1, "momentum": 0, "weight_decay": 0, "decay_epochs": (), "seed": 0}
    assert RUN.replace(**low).prune_epoch == 1
    high = {"num_images": 50_000, "batch_size": 50_000, "num_test_images": 10_000}
    assert RUN.replace(**high, weight_decay=1, seed=2**63 - 1).batch_size == 50_000
    assert PRUNED.replace(prune_epoch=3, keep_fraction=1).keep_fraction == 1
    assert RUN.replace(num_images=10).num_images == 10  # a last batch of two


def test_the_defaults_are_the_papers():
    assert tuple(dict(Recipe()).values())[:7] == (14, 0.01, (80, 120), 164, 50_000, 10_000, 128)


def test_methods_are_the_scores_two_of_examples_and_three_of_batches():
    assert set(BATCH_METHODS) == {"none", "random", "liprune"}
    of_examples = set(SCORES) - {"hessian-batch", "random"}
    assert set(EXAMPLE_METHODS) == of_examples | {"random-examples", "design"}


def test_the_rate_is_divided_by_ten_at_the_start_of_each_decay_epoch():
    recipe = Recipe(learning_rate=0.05, decay_epochs=(4, 2))
    rates = [recipe.rate(epoch) for epoch in range(1, 6)]
    assert rates == pytest.approx([0.05, 0.005, 0.005, 0.0005, 0.0005])
    assert Recipe(learning_rate=0.05, decay_epochs=()).rate(999) == 0.05


def test_what_comes_before_the_pruning_is_shared():
    others = product(METHODS[1:], (0.2, 1), (3, 9), ("train", "eval"))
    names = ("method", "keep_fraction", "num_epochs", "batch_norm")
    runs = [PRUNED.replace(**dict(zip(names, other, strict=True))) for other in others]
    runs.append(PRUNED.replace(tolerance=0.5))
    assert {run.before_pruning() for run in runs} == {RUN.replace(num_epochs=1)}


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
    before = PRUNED.replace(**change).before_pruning()
    assert before != PRUNED.before_pruning()
    recipe = {"num_epochs": PRUNED.prune_epoch - 1} | change
    if epoch := recipe.pop("prune_epoch", None):
        recipe["num_epochs"] = epoch - 1
    assert before == RUN.replace(**recipe)


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
    assert TrainingRun(**changes).label == label


def test_equal_runs_are_one_whatever_they_were_typed_as():
    typed = PRUNED.replace(decay_epochs=[3], learning_rate=1, weight_decay=0)
    same = PRUNED.replace(decay_epochs=(3,), learning_rate=1.0, weight_decay=0.0)
    assert typed == same
    assert repr(typed) == repr(same)
    assert len({typed, same, same.replace(seed=1)}) == 2


def test_what_does_not_matter_to_a_method_does_not_tell_runs_apart():
    for method in ("none", "random", "el2n"):
        kept = {} if method == "none" else {"keep_fraction": 0.5}
        coarse = TrainingRun(method=method, tolerance=0.2, batch_norm="eval", **kept)
        assert coarse == TrainingRun(method=method, **kept)
    for method in ("liprune", "hessian"):
        assert TrainingRun(method=method, tolerance=0.2) != TrainingRun(method=method)
