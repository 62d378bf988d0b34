"""Training by SGD: against arithmetic by hand, left and resumed at any step; batch statistics."""

import copy
import io
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from draws import seeded
from synthetic import BATCHES, RUN, dataset, images, moved, same
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils import training
from liprune_utils.checks import InputError
from liprune_utils.images import Images, draw_shifts, fixed_batches, generator, make_images
from liprune_utils.settings import Recipe
from liprune_utils.training import (
    State,
    initial_network,
    plan_epoch,
    start,
    steps,
    train_until,
    with_population_statistics,
)

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
RECIPE = Recipe(
    depth=8, learning_rate=0.05, decay_epochs=(2,), num_epochs=2, num_images=10, batch_size=4
)
MOMENTS = [(1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3), (3, 0)]


def test_without_augmentation_the_order_is_the_same_and_nothing_is_shifted():
    with_shifts, without = (
        plan_epoch(BATCHES, RUN.replace(augment=augment), 1, CPU) for augment in (True, False)
    )
    for (indices, shifts), (again, none) in zip(with_shifts, without, strict=True):
        assert torch.equal(indices, again)
        assert none.tolist() == [[4, 4, 0]] * 4
        assert not torch.equal(shifts, none)


# Against arithmetic by hand: softmax regression, without autograd or torch's optimiser


LINEAR = Recipe(learning_rate=0.5, decay_epochs=(2,), momentum=0.8, weight_decay=0.1, seed=4)
SEVEN = [np.array([4, 0, 6]), np.array([1, 5, 2]), np.array([3])]


def small_images() -> Images:
    draw = seeded(9)
    images, tests = (torch.from_numpy(draw.normal(size=(n, 3, 6, 6))) for n in (7, 9))
    labels, answers = (torch.from_numpy(draw.integers(0, 3, n)) for n in (7, 9))
    return Images(images, labels, tests, answers)


def linear_state() -> State:
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 3, bias=False)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.from_numpy(seeded(3).normal(size=(3, 108)) / 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=9.0, momentum=0.8, weight_decay=0.1)
    zero = torch.zeros((), dtype=torch.float64)
    return State(model, optimizer, torch.zeros(7, dtype=torch.bool), zero)


def by_hand(data: Images, batches: list[np.ndarray], weight: np.ndarray) -> tuple:
    """Two epochs of `LINEAR`: weights, mean losses, and who was right after each step."""
    buffer, losses, correct = np.zeros_like(weight), [], []
    for epoch, rate in ((1, 0.5), (2, 0.05)):
        draw, total, right = generator(4, "augmentation", epoch), 0.0, np.zeros(7, dtype=bool)
        for number in generator(4, "order", epoch).permutation(len(batches)):
            batch, classes = batches[number], data.labels[batches[number]].numpy()
            pairs = zip(data.inputs[batch].numpy(), draw_shifts(len(batch), draw), strict=True)
            x = np.stack([moved(image, shift).ravel() for image, shift in pairs])
            logits = x @ weight.T
            p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            total -= np.log(p[np.arange(len(batch)), classes]).sum()
            right[batch] = logits.argmax(axis=1) == classes
            gradient = (p - np.eye(3)[classes]).T @ x / len(batch) + 0.1 * weight
            buffer = 0.8 * buffer + gradient
            weight = weight - rate * buffer
            correct.append(right.copy())
        losses.append(total / sum(map(len, batches)))
    return weight, losses, correct


@pytest.mark.parametrize("batches", [SEVEN, SEVEN[:2]], ids=["all", "pruned"])
def test_weights_losses_and_right_answers_are_those_by_hand(batches, monkeypatch):
    monkeypatch.setattr(training, "EVALUATION_BATCH", 4)
    data, state = small_images(), linear_state()
    weight, losses, correct = by_hand(data, batches, state.model[1].weight.detach().numpy())
    for moment in steps(state, data, batches, LINEAR, 2):
        if moment.step:
            done = len(batches) * (state.epoch - 1) + state.step
            assert np.array_equal(state.correct, correct[done - 1])
    np.testing.assert_allclose(state.model[1].weight.detach(), weight, rtol=1e-9)
    np.testing.assert_allclose(state.train_losses, losses, rtol=1e-9)
    ends = correct[len(batches) - 1 :: len(batches)]
    assert np.array_equal(state.correct_history(), ends)
    assert 0 < np.mean(ends) < 1
    guesses = (data.test_inputs.numpy().reshape(9, -1) @ weight.T).argmax(axis=1)
    wrong = 100 * np.mean(guesses != data.test_labels.numpy())
    assert state.test_errors[-1] == pytest.approx(wrong)


# Steps that can be left and resumed


def saved(state: State) -> bytes:
    stream = io.BytesIO()
    torch.save(state.to_dict(), stream)
    return stream.getvalue()


def read(content: bytes) -> dict:
    return torch.load(io.BytesIO(content), weights_only=True)


def ten() -> tuple[Images, list[np.ndarray]]:
    return make_images(dataset(), 10, 40), fixed_batches(10, 4, seed=0)


@pytest.fixture(scope="module")
def snapshots(one_thread) -> list[bytes]:
    """What a run of two epochs would save at each of its moments."""
    data, batches = ten()
    return [saved(state) for state in steps(start(RECIPE, data), data, batches, RECIPE, 2)]


def test_a_run_can_be_left_after_each_step_and_after_each_epoch(snapshots):
    found = [read(content) for content in snapshots]
    assert [(len(s["test_errors"]) + 1, s["step"]) for s in found] == MOMENTS
    assert [len(s["history"]) for s in found] == [len(s["train_losses"]) for s in found]
    assert not same(found[0]["model"], found[-1]["model"])


@pytest.mark.parametrize("moment", range(len(MOMENTS)), ids=map(str, MOMENTS))
def test_a_resumed_run_ends_as_one_that_was_never_left(snapshots, moment):
    data, batches = ten()
    state = start(RECIPE.replace(seed=1), data)  # nothing of it may survive
    state.load_dict(read(snapshots[moment]))
    assert (state.epoch, state.step) == MOMENTS[moment]
    train_until(state, data, batches, RECIPE, 2)
    assert same(read(saved(state)), read(snapshots[-1]))


def test_training_stops_after_its_last_epoch_and_goes_on_from_there(snapshots):
    data, batches = ten()
    state = train_until(start(RECIPE, data), data, batches, RECIPE, 1)
    assert same(read(saved(state)), read(snapshots[3]))
    train_until(state, data, batches, RECIPE, 1)
    assert same(read(saved(state)), read(snapshots[3]))
    train_until(state, data, batches, RECIPE, 2)
    assert same(read(saved(state)), read(snapshots[-1]))


# The network, its start and its precision


def test_first_weights_depend_on_seed_and_depth_alone():
    first = start(RUN, images())
    again = initial_network(RUN.replace(learning_rate=0.5, num_epochs=9, augment=False))
    assert same(first.model.state_dict(), again.state_dict())
    other = initial_network(RUN.replace(seed=1))
    assert not same(first.model.state_dict(), other.state_dict())
    assert again.training


def test_a_start_has_the_recipes_optimiser_and_an_empty_record():
    recipe = RUN.replace(momentum=0.3, weight_decay=0.2)
    state = start(recipe, images(), functional.softplus)
    (group,) = state.optimizer.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.05, 0.3, 0.2)
    assert (state.epoch, state.step, state.test_errors, state.history) == (1, 0, [], [])
    assert state.model.activation is functional.softplus
    assert state.model.conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_training_leaves_the_global_generators_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    train_until(start(RUN, images()), images(), BATCHES, RUN, 1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


class Watched(nn.Linear):
    """A classifier that notes whether it computes in bfloat16, and its mode."""

    def __init__(self):
        super().__init__(3 * 32 * 32, 10)
        nn.init.zeros_(self.weight)
        self.seen = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x.flatten(1))
        self.seen.append((y.dtype, self.training))
        return y


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_and_testing_compute_in_the_recipes_precision(precision):
    model, data = Watched(), images()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    state = State(model, optimizer, torch.zeros(12, dtype=torch.bool), torch.zeros(()))
    train_until(state, data, BATCHES, RUN.replace(precision=precision), 2)
    kind = getattr(torch, precision)
    assert model.seen == ([(kind, True)] * 3 + [(kind, False)]) * 2


def test_bfloat16_changes_the_result_only_a_little_and_no_weights_type():
    exact, rough = (
        train_until(start(recipe, images()), images(), BATCHES, recipe, 1)
        for recipe in (RUN, RUN.replace(precision="bfloat16"))
    )
    assert rough.train_losses != exact.train_losses
    assert rough.train_losses == pytest.approx(exact.train_losses, rel=0.005)
    for one, other in zip(rough.model.parameters(), exact.model.parameters(), strict=True):
        assert one.dtype == rough.optimizer.state[one]["momentum_buffer"].dtype == torch.float32
        assert (one - other).norm() < 0.02 * other.norm().clamp(min=1)
    assert rough.loss_sum.dtype == torch.float32


# Running statistics of batch norm


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def small_net() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3, momentum=0.3), nn.Dropout(0.5),
        nn.Conv2d(3, 2, 2), nn.BatchNorm2d(2, momentum=None), nn.Flatten(), nn.Linear(2, 3),
    ).double()  # fmt: skip
    with torch.no_grad():
        for number, p in enumerate(model.parameters()):
            p.copy_(draw(*p.shape, seed=number))
        model[1].running_mean.copy_(draw(3, seed=20))
        model[4].running_var.fill_(torch.inf)  # of a past that should be forgotten
    return model


IMAGES = draw(7, 2, 3, 3, seed=30) + torch.arange(7)[:, None, None, None]  # not shuffled


# Mean and unbiased variance of each channel in each batch, weighted by the batches' sizes.
def averages(features: list[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    weights = [len(f) for f in features]
    rows = [f.detach().transpose(0, 1).flatten(1).numpy() for f in features]
    means = np.average([r.mean(axis=1) for r in rows], axis=0, weights=weights)
    return means, np.average([r.var(axis=1, ddof=1) for r in rows], axis=0, weights=weights)


@pytest.mark.parametrize("batch_size", [4, 5, 7, 500])  # 4 and 5 leave a ragged last batch
def test_statistics_are_averages_weighted_by_the_batches_sizes(batch_size):
    model = small_net()
    found = with_population_statistics(model, IMAGES, batch_size)
    first = [model[0](batch) for batch in IMAGES.split(batch_size)]
    second = [model[3](nn.functional.batch_norm(  # no dropout
        f, None, None, model[1].weight, model[1].bias, training=True)) for f in first]  # fmt: skip
    for norm, features in ((found[1], first), (found[4], second)):
        mean, variance = averages(features)
        np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-12)
        np.testing.assert_allclose(norm.running_var, variance, rtol=1e-12)


def test_the_copy_has_the_same_weights_and_momenta_in_eval_mode():
    model = small_net()
    found = with_population_statistics(model, IMAGES)
    for a, b in zip(model.parameters(), found.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.data_ptr() != b.data_ptr()
    assert not any(module.training for module in found.modules())
    assert (found[1].momentum, found[4].momentum) == (0.3, None)
    found(IMAGES).sum().backward()


def fail(*_):
    raise KeyError


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_and_the_generators_are_as_before(fails):
    model = small_net()
    model[2].eval()
    if fails:
        model[6].register_forward_hook(fail)
    before, generators = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    with pytest.raises(KeyError) if fails else nullcontext():
        with_population_statistics(model, IMAGES)
    assert [module.training for module in model] == [True, True, False, True, True, True, True]
    assert (model[1].momentum, model[4].momentum) == (0.3, None)
    assert torch.equal(torch.get_rng_state(), generators)
    assert same(model.state_dict(), before)


@pytest.mark.parametrize(
    ("count", "batch_size", "message"),
    [
        (0, 3, "number of examples is 0; expected at least 1"),
        (1, 3, "number of examples is 1; expected at least 2"),
        (7, 3, "number of images is 7; expected a number that does not leave a last batch of one"),
        (7, 1, "batch_size is 1; expected at least 2"),
    ],
)
def test_batches_without_a_variance_are_refused(count, batch_size, message):
    with pytest.raises(InputError, match=message):
        with_population_statistics(small_net(), IMAGES[:count], batch_size)
