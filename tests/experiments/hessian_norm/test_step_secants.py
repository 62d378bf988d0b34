"""Secants over the length of a step: dense Hessians, gradients and steps of SGD by hand."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from experiments.hessian_norm import step_secants
from experiments.hessian_norm.record_steps import RUN
from experiments.hessian_norm.step_secants import Moves, downhill, epoch_moves, follow, secants
from liprune_utils.curvature import loss_gradient
from liprune_utils.images import Images, fixed_batches
from liprune_utils.training import start, train_until

SMALL = RUN.replace(depth=8, num_images=12, num_test_images=4, batch_size=4, learning_rate=0.1)
pytestmark = pytest.mark.usefixtures("one_thread")


class Small(nn.Module):
    """Batch norm and ReLU, in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 4)
        self.double()
        with torch.no_grad():
            for number, p in enumerate(self.parameters()):
                p.copy_(draw(*p.shape, seed=number))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(functional.relu(self.norm(self.first(x))))


def draw(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def small_images(count: int = 12, size: int = 8) -> Images:
    inputs = draw(count + 4, 3, size, size, seed=9).float()
    labels = torch.arange(count + 4) % 10
    return Images(inputs[:count], labels[:count], inputs[count:], labels[count:])


def flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def loss_at(model: nn.Module, weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
    names, parts = zip(*model.named_parameters(), strict=True)
    pieces = weights.split([p.numel() for p in parts])
    values = {n: w.view_as(p) for n, w, p in zip(names, pieces, parts, strict=True)}
    return functional.cross_entropy(functional_call(model, values, (inputs,)), targets)


def gradient_at(model: nn.Module, weights: Tensor, *pair: Tensor) -> np.ndarray:
    weights = weights.clone().requires_grad_()
    return torch.autograd.grad(loss_at(model, weights, *pair), weights)[0].numpy()


def test_secants_are_those_of_dense_hessians_and_of_gradients_by_hand(monkeypatch):
    monkeypatch.setattr(step_secants, "TOLERANCE", 1e-10)
    monkeypatch.setattr(step_secants, "FIRST_TOLERANCE", 1e-10)
    model, inputs, labels = Small(), draw(15, 3, seed=20), torch.arange(15) % 4
    batches = np.split(np.random.default_rng(0).permutation(15), 3)
    weights = flat(model)
    moves = Moves(draw(len(weights), seed=21), 0.3)
    rows = list(secants(model, Images(inputs, labels, inputs, labels), batches, moves))
    assert [row["batch"] for row in rows] == [0, 1, 2]
    for row, batch in zip(rows, batches, strict=True):
        pair = inputs[batch], labels[batch]
        plain = copy.deepcopy(model)
        hessian = torch.autograd.functional.hessian(lambda w: loss_at(plain, w, *pair), weights)  # noqa: B023
        values, vectors = np.linalg.eigh(hessian.numpy())
        top = np.abs(values).argmax()
        assert row["eigenvalue"] == pytest.approx(values[top], rel=1e-6)
        gradient = gradient_at(plain, weights, *pair)
        u = vectors[:, top] * -np.sign(vectors[:, top] @ gradient)
        d = (moves.first / moves.first.norm()).numpy()
        for name, direction in {"down": u, "up": -u, "step": d}.items():
            change = gradient_at(plain, weights + 0.3 * torch.from_numpy(direction), *pair)
            expected = np.linalg.norm(change - gradient) / 0.3
            assert row[f"secant_{name}"] == pytest.approx(expected, rel=1e-5)
    assert torch.equal(flat(model), weights)


def test_in_single_precision_secants_are_those_in_double(monkeypatch):
    monkeypatch.setattr(step_secants, "MAX_PRODUCTS", 1)
    images, batches = small_images(), fixed_batches(12, 4, 0)
    model = start(SMALL, images).model
    moves = Moves(draw(len(flat(model)), seed=3).float(), 0.01)
    exact = Images(images.inputs.double(), images.labels, images.test_inputs, images.test_labels)
    doubled = Moves(moves.first.double(), moves.length)
    single = next(secants(model, images, batches, moves))
    double = next(secants(copy.deepcopy(model).double(), exact, batches, doubled))
    assert single["secant_step"] == pytest.approx(double["secant_step"], rel=1e-3)


def test_an_eigenvector_points_downhill():
    gradient = torch.tensor([1.0, -2.0])
    for vector in ([3.0, 1.0], [-3.0, -1.0]):
        assert downhill(torch.tensor(vector).double(), gradient).tolist() == [-3, -1]


def test_the_first_step_of_training_follows_the_gradient_and_the_decay():
    images, run = small_images(), SMALL.replace(augment=False, weight_decay=0.1)
    batches, state = [np.arange(12)], start(run, images)
    weights = flat(state.model)
    pair = images.inputs, images.labels
    gradient = loss_gradient(state.model, functional.cross_entropy, *pair)
    moves = epoch_moves(state, images, batches, run)
    expected = -0.1 * (gradient + 0.1 * weights)
    torch.testing.assert_close(moves.first, expected, rtol=1e-3, atol=1e-6)
    assert moves.length == pytest.approx(expected.norm().item(), rel=1e-4)
    momentum = 0.9 * moves.first / 0.1  # the next step's, with the gradient at the new weights
    weights = flat(state.model)
    gradient = loss_gradient(state.model, functional.cross_entropy, *pair)
    expected = 0.1 * (momentum - gradient - 0.1 * weights)
    moves = epoch_moves(state, images, batches, run)
    torch.testing.assert_close(moves.first, expected, rtol=1e-3, atol=1e-5)


def test_a_length_is_the_median_over_the_steps_of_the_epoch(monkeypatch):
    images, batches = small_images(), fixed_batches(12, 4, 0)
    state, places = start(SMALL, images), iter([5.0, 0.0, 2.0])

    def move_one_weight(state, *_):
        for distance in places:
            state.step += 1
            with torch.no_grad():
                next(state.model.parameters())[0, 0, 0, 0] += distance
            yield state
        state.step = 0
        yield state

    monkeypatch.setattr(step_secants, "steps", move_one_weight)
    moves = epoch_moves(state, images, batches, SMALL)
    assert moves.length == pytest.approx(2, rel=1e-5)
    assert moves.first.norm().item() == pytest.approx(5, rel=1e-5)


def test_a_network_is_measured_as_it_was_when_the_epoch_began(monkeypatch):
    images, seen = small_images(), []

    def only_look(model, *_):
        seen.append(flat(model))
        yield {"batch": 0}

    monkeypatch.setattr(step_secants, "secants", only_look)
    table = follow(SMALL, images, (1, 3))
    state, batches = start(SMALL, images), fixed_batches(12, 4, SMALL.seed)
    for weights, epoch in zip(seen, (1, 3), strict=True):
        train_until(state, images, batches, SMALL, epoch - 1)
        assert torch.equal(weights, flat(state.model))
        moves = epoch_moves(copy.deepcopy(state), images, batches, SMALL)
        assert table.length[table.epoch == epoch].tolist() == [moves.length]
    assert table.epoch.tolist() == [1, 3]
