"""Scores from outputs against loops over single examples and Python's own arithmetic."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from torch import Tensor, nn

from liprune_utils.output_scores import (
    correct_predictions,
    el2n_scores,
    forgetting_counts,
    losses,
    negative_margins,
)
from liprune_utils.parameters import InputError

SCORES = (losses, el2n_scores, negative_margins, correct_predictions)
COUNT = 5


pytestmark = pytest.mark.usefixtures("one_thread")


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def small_net() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(12, 4)
    ).double()
    with torch.no_grad():
        for number, p in enumerate(model.parameters()):
            p.copy_(draw(*p.shape, seed=number))
        model[1].running_mean.copy_(draw(3, seed=20))
        model[1].running_var.copy_(draw(3, seed=21).square() + 0.5)
    return model.train()  # eval mode is the scores' own affair


IMAGES, LABELS = draw(COUNT, 2, 3, 3, seed=30), torch.tensor([1, 0, 3, 2, 1])


# Loss, error vector's length, negative margin and correctness of one example, by plain loops.
def by_hand(z: list[float], y: int) -> tuple[float, float, float, bool]:
    total = math.fsum(math.exp(value) for value in z)
    p = [math.exp(value) / total for value in z]
    error = math.sqrt(math.fsum((p[k] - (k == y)) ** 2 for k in range(len(z))))
    other = max(value for k, value in enumerate(z) if k != y)
    return -math.log(p[y]), error, other - z[y], z[y] > other


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 100])  # 2 leaves a ragged last chunk
def test_scores_are_those_of_single_examples_in_order(chunk_size):
    model = small_net().eval()
    logits = [model(image[None])[0].tolist() for image in IMAGES]
    expected = zip(*map(by_hand, logits, LABELS.tolist()), strict=True)
    for score, values in zip(SCORES, expected, strict=True):
        found = score(small_net(), IMAGES, LABELS, chunk_size=chunk_size)
        assert found.dtype == (bool if score is correct_predictions else np.float64)
        np.testing.assert_allclose(found, values, rtol=1e-12, atol=1e-15)
        assert len(set(found)) == (2 if score is correct_predictions else COUNT)


def test_a_float32_network_is_scored_in_float64():
    model = nn.Identity()
    model.weight = nn.Parameter(torch.zeros(1))
    logits, labels = torch.tensor([[20.0, 0.0], [20.0, 0.0]]), torch.tensor([0, 1])
    np.testing.assert_allclose(losses(model, logits, labels), [math.log1p(math.exp(-20)), 20])


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.integers(2, 5), st.floats(-50, 50))
def test_a_constant_added_to_the_logits_changes_nothing(seed, num_classes, constant):
    model = nn.Linear(3, num_classes).double()
    inputs, labels = draw(4, 3, seed=seed), torch.arange(4) % num_classes
    before = [score(model, inputs, labels) for score in SCORES]
    with torch.no_grad():
        model.bias += constant
    for score, expected in zip(SCORES, before, strict=True):
        np.testing.assert_allclose(score(model, inputs, labels), expected, atol=1e-12)


def test_wrong_examples_have_positive_negative_margins():
    arguments = small_net(), IMAGES, LABELS
    np.testing.assert_array_equal(negative_margins(*arguments) < 0, correct_predictions(*arguments))


def fail(*_):
    raise KeyError


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("score", SCORES)
def test_the_model_and_the_generators_are_as_before(score, fails):
    model = small_net()
    model[3].eval()
    model[4].weight.grad = torch.ones_like(model[4].weight)
    if fails:
        model[4].register_forward_hook(fail)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    if fails:
        with pytest.raises(KeyError):
            score(model, IMAGES, LABELS)
    else:
        score(model, IMAGES, LABELS)
    assert [m.training for m in model] == [True, True, True, False, True]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model[4].weight.grad, torch.ones_like(model[4].weight))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


BAD = IMAGES.clone()
BAD[3, 0, 0, 0] = torch.nan


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("images", "labels", "chunk_size", "message"),
    [
        (IMAGES, LABELS[:4], 2, "^The number of labels is 4; expected 5"),
        (IMAGES[:0], LABELS[:0], 2, "number of examples is 0; expected at least 1"),
        (IMAGES, LABELS, 0, "^chunk_size is 0; expected at least 1"),
        (BAD, LABELS, 2, "^The logits of example 3 is .*nan.*; expected finite numbers"),
        (IMAGES, torch.tensor([0, 1, 2, -100, 4]), 2, "^The label of example 3 is -100; expected"),
        (IMAGES, torch.tensor([0, 1, 2, 3, 4]), 2, "^The label of example 4 is 4; expected 0 to 3"),
        (IMAGES, LABELS.double(), 2, r"is 'torch\.float64 of shape \[2\]'; expected torch\.int64"),
        (IMAGES, LABELS[:, None], 2, r"is 'torch\.int64 of shape \[2, 1\]'; expected torch\.int64"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(score, images, labels, chunk_size, message):
    with pytest.raises(InputError, match=message):
        score(small_net(), images, labels, chunk_size=chunk_size)


def test_outputs_that_are_no_logits_are_refused():
    with pytest.raises(InputError, match=r"shape is \[5, 3, 2, 2\]; expected \[5, number of"):
        losses(small_net()[:1], IMAGES, LABELS)
    with pytest.raises(InputError, match="number of classes is 1; expected at least 2"):
        negative_margins(nn.Linear(2, 1), torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))


def counted_by_hand(history: list[bool]) -> int:
    count, learnt = 0, False
    for epoch, right in enumerate(history):
        learnt |= right
        count += epoch > 0 and history[epoch - 1] and not right
    return count if learnt else len(history)


@settings(deadline=None, derandomize=True)
@given(st_numpy.arrays(bool, st.tuples(st.integers(1, 9), st.integers(0, 4))))
def test_forgetting_is_counted_as_by_hand(correct):
    found = forgetting_counts(correct)
    assert found.dtype == np.float64
    assert found.tolist() == [counted_by_hand(history) for history in correct.T.tolist()]
    learnt = correct.any(axis=0)
    assert (found[learnt] < len(correct)).all()  # so that the never learnt are above them


def test_forgetting_of_known_histories():
    correct = np.array([[0, 1, 1, 0, 1], [0, 1, 0, 0, 0], [0, 1, 1, 1, 1], [0, 1, 0, 1, 1]])
    assert forgetting_counts(correct.astype(bool)).tolist() == [4, 0, 2, 0, 1]


@pytest.mark.parametrize(
    ("correct", "message"),
    [
        (np.ones((2, 3)), r"'float64 of shape \[2, 3\]'; expected bool of shape"),
        (
            np.ones(3, dtype=bool),
            r"'bool of shape \[3\]'; expected bool of shape \[num_epochs, n\]",
        ),
        (np.ones((0, 3), dtype=bool), r"'bool of shape \[0, 3\]'; expected"),
    ],
)
def test_other_histories_are_refused(correct, message):
    with pytest.raises(InputError, match=message):
        forgetting_counts(correct)
