"""Secants of gradients: closed forms, gradients with planted jumps, units counted by hand."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import draw, seeded
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils import parameters_to_vector

from experiments.hessian_norm.tightness import _activation_signs, _secants, tightness
from liprune_utils.checks import InputError
from liprune_utils.models import resnet

DISTANCES = (10.0, 0.1, 1e-3, 1e-6)
pytestmark = pytest.mark.usefixtures("one_thread")


class Kinks(nn.Module):
    """One weight; an example's unit is on where the weight exceeds its input."""

    def __init__(self, weight: float):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([weight], dtype=torch.float64))
        self.activation = functional.relu

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.weight - x)


class Small(nn.Module):
    """Batch norm, an activation in the network and two calls of one in a part of it."""

    def __init__(self, activation=functional.relu):
        super().__init__()
        self.activation = activation
        self.first, self.norm, self.last = nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 4)
        self.inner = nn.Module()
        self.inner.activation = activation
        self.double()
        with torch.no_grad():
            for number, p in enumerate(self.parameters()):
                p.copy_(draw(*p.shape, seed=number))
            self.norm.running_mean.copy_(draw(5, seed=20))
            self.norm.running_var.copy_(draw(5, seed=21).square() + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm(self.first(x)))
        return self.last(self.inner.activation(self.inner.activation(x - 1) - 0.5))


def data(count: int = 6) -> tuple[Tensor, Tensor]:
    return draw(count, 3, seed=30), torch.arange(count) % 4


def dense_hessian(model: nn.Module, inputs: Tensor, targets: Tensor) -> np.ndarray:
    model = copy.deepcopy(model).train()
    names, parts = zip(*model.named_parameters(), strict=True)

    def loss(weights: Tensor) -> Tensor:
        pieces = weights.split([p.numel() for p in parts])
        values = {n: w.view_as(p) for n, w, p in zip(names, pieces, parts, strict=True)}
        return functional.cross_entropy(functional_call(model, values, (inputs,)), targets)

    weights = parameters_to_vector(parts).detach()
    return torch.autograd.functional.hessian(loss, weights).numpy()


def norm_of(vector) -> float:
    return np.linalg.norm(vector).item()


def test_of_a_quadratic_all_secants_are_the_hessian():
    model, inputs, targets = nn.Linear(3, 1).double(), draw(7, 3), draw(7, 1, seed=1)
    extended = np.c_[inputs.numpy(), np.ones(7)]
    hessian = 2 / 7 * extended.T @ extended
    directions = {"one": draw(4, seed=2), "other": draw(4, seed=3)}
    directions = {name: v / v.norm() for name, v in directions.items()}
    table = _secants(model, functional.mse_loss, inputs, targets, directions, DISTANCES)
    assert table.direction.tolist() == ["one"] * 4 + ["other"] * 4
    assert table.distance.tolist() == [*DISTANCES] * 2
    expected = [norm_of(hessian @ directions[name].numpy()) for name in table.direction]
    np.testing.assert_allclose(table.tangent, expected, rtol=1e-12)
    np.testing.assert_allclose(table.secant, expected, rtol=1e-8)
    assert (table.num_switched == 0).all()  # it has no units


def test_a_quadratic_is_tight_along_its_top_eigenvector():
    model, inputs, targets = nn.Linear(3, 1).double(), draw(7, 3), draw(7, 1, seed=1)
    extended = np.c_[inputs.numpy(), np.ones(7)]
    hessian = 2 / 7 * extended.T @ extended
    with torch.no_grad():
        error = model(inputs) - targets
    gradient = 2 / 7 * extended.T @ error.numpy()[:, 0]
    options = {"generator": seeded(3), "num_random": 2}
    table = tightness(model, functional.mse_loss, inputs, targets, DISTANCES, **options)
    top = np.linalg.eigvalsh(hessian)[-1]
    np.testing.assert_allclose(table.norm, top, rtol=1e-4)
    np.testing.assert_allclose(table.ratio, table.secant / table.norm, rtol=1e-12)
    ratios = dict(iter(table.groupby("direction", sort=False).ratio))
    assert list(ratios) == ["eigenvector", "gradient", "random 1", "random 2"]
    np.testing.assert_allclose(ratios["eigenvector"], 1, rtol=1e-4)
    generator = seeded(3)
    others = {"gradient": gradient}
    for name in ("random 1", "random 2"):
        others[name] = torch.randn(4, generator=generator, dtype=torch.float64).numpy()
    for name, vector in others.items():
        known = norm_of(hessian @ vector) / norm_of(vector) / top
        np.testing.assert_allclose(ratios[name], known, rtol=1e-4)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-3, 3)), min_size=1, max_size=8),
    st.floats(-1, 1),
    st.sampled_from([-1.0, 1.0]),
    st.floats(0.01, 2),
)
def test_kinks_on_the_way_jump_and_the_hessian_sees_none(units, weight, sign, distance):
    end = weight + sign * distance
    assume(all(abs(place - at) > 1e-9 for place, _ in units for at in (weight, end)))
    jumps = [size for place, size in units if (weight > place) != (end > place)]
    places, sizes = (torch.tensor(part, dtype=torch.float64) for part in zip(*units, strict=True))
    table = _secants(
        Kinks(weight), lambda outputs, sizes: (outputs * sizes).mean(), places, sizes,
        {"along": torch.tensor([sign], dtype=torch.float64)}, [distance],
    )  # fmt: skip
    (row,) = table.itertuples()
    assert row.secant == pytest.approx(abs(sum(jumps)) / len(units) / distance, abs=1e-9)
    assert row.tangent == 0
    assert row.num_switched == len(jumps)


def test_a_jump_makes_the_secant_grow_as_the_distance_shrinks_until_nothing_switches():
    inputs, sizes = torch.full((1,), 1e-4, dtype=torch.float64), torch.full((1,), 3.0).double()
    along = {"along": torch.ones(1, dtype=torch.float64)}
    distances = [1e-1, 1e-2, 1e-3, 1e-5]
    table = _secants(Kinks(0), lambda o, s: (o * s).mean(), inputs, sizes, along, distances)
    np.testing.assert_allclose(table.secant, [30, 300, 3000, 0], rtol=1e-12)
    assert table.num_switched.tolist() == [1, 1, 1, 0]


def test_tangents_are_products_with_the_dense_hessian():
    model, pair = Small(functional.softplus), data()
    hessian = dense_hessian(model, *pair)
    direction = draw(len(hessian), seed=5)
    direction /= direction.norm()
    table = _secants(model, functional.cross_entropy, *pair, {"any": direction}, (1e-2, 1e-4))
    expected = norm_of(hessian @ direction.numpy())
    np.testing.assert_allclose(table.tangent, expected, rtol=1e-10)
    far, near = (table.secant / expected - 1).abs()
    assert 30 < far / near < 300  # the difference is of first order in the distance
    assert near < 1e-3


@pytest.mark.parametrize("activation", [functional.softplus, torch.tanh])
def test_a_smooth_network_exceeds_its_hessian_norm_nowhere_near(activation):
    model, pair = Small(activation), data()
    options = {"generator": seeded(4), "num_random": 5}
    table = tightness(model, functional.cross_entropy, *pair, (1e-4, 1e-5, 1e-6), **options)
    exact = np.linalg.norm(dense_hessian(model, *pair), 2)
    np.testing.assert_allclose(table.norm, exact, rtol=1e-4)
    assert (table.ratio <= 1 + 1e-3).all()
    assert (table.ratio[table.direction == "eigenvector"] >= 1 - 1e-3).all()
    assert (table.ratio[table.direction.str.startswith("random")] < 0.9).all()


@pytest.mark.parametrize("activation", [functional.relu, functional.softplus])
def test_signs_are_those_of_a_pass_by_hand(activation):
    model, (inputs, _) = Small(activation), data()
    expected = []
    with torch.no_grad():
        x = model.first(inputs)
        x = (x - x.mean(0)) / (x.var(0, correction=0) + model.norm.eps).sqrt()
        x = x * model.norm.weight + model.norm.bias
        for shift in (0, 1, 0.5):
            x = (activation(x) if expected else x) - shift
            expected += [value > 0 for value in x.flatten().tolist()]
    found = _activation_signs(model, inputs)
    assert found.tolist() == expected
    assert 0 < sum(expected) < len(expected) == 3 * 6 * 5


def test_every_unit_of_a_resnet_counts():
    images = torch.randn(2, 3, 8, 8, generator=seeded(1))
    signs = _activation_signs(resnet(8, seeded()), images)
    units = 3 * 16 * 8 * 8 + 2 * 32 * 4 * 4 + 2 * 64 * 2 * 2
    assert signs.shape == (2 * units,)


class LossError(Exception):
    pass


def failing(outputs: Tensor, targets: Tensor) -> Tensor:
    raise LossError


def run_tightness(model: nn.Module, loss_fn=functional.cross_entropy) -> None:
    tightness(model, loss_fn, *data(), (0.1,), generator=seeded(), num_random=1)


WAYS = {
    "tightness": (run_tightness, None),
    "signs": (lambda model: _activation_signs(model, data()[0]), None),
    "failing loss": (lambda model: run_tightness(model, failing), LossError),
    "failing pass": (lambda model: _activation_signs(model, draw(2, 9)), RuntimeError),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_model_is_as_before(way):
    run, error = WAYS[way]
    model = Small()
    model.last.eval()
    model.last.weight.grad = torch.ones_like(model.last.weight)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(5)
    state = torch.get_rng_state()
    if error:
        with pytest.raises(error):
            run(model)
    else:
        run(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert (model.training, model.norm.training, model.last.training) == (True, True, False)
    assert model.activation is model.inner.activation is functional.relu
    assert torch.equal(model.last.weight.grad, torch.ones_like(model.last.weight))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_single_precision_is_refused_in_one_sentence():
    expected = r"^The parameters' precision is torch\.float32; expected torch\.float64\.$"
    inputs, targets = data()
    direction = {"any": torch.ones(1)}
    with pytest.raises(InputError, match=expected):
        _secants(Small().float(), functional.cross_entropy, inputs, targets, direction, [0.1])
