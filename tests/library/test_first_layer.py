"""A first layer in as many columns as examples: the same norms, eigenvectors and errors."""

import copy

import pytest
import torch
from networks import draw, filled, seeded
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import vmap
from torch.nn import functional
from torch.nn.functional import cross_entropy
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from liprune_utils import curvature
from liprune_utils.checks import InputError
from liprune_utils.curvature import hessian_norm
from liprune_utils.first_layer import Coordinates

pytestmark = pytest.mark.usefixtures("one_thread")
NUM_FEATURES, NUM_EXAMPLES = 12, 4
CLASSES = torch.randint(0, 3, (NUM_EXAMPLES,), generator=seeded(5))


class Twice(nn.Module):
    """A first layer that meets two inputs, or one input twice."""

    def __init__(self, same: bool) -> None:
        super().__init__()
        self.first, self.last, self.same = nn.Linear(NUM_FEATURES, 6), nn.Linear(6, 3), same

    def forward(self, x: Tensor) -> Tensor:
        other = x if self.same else x.roll(1, dims=1)
        return self.last(self.first(x).tanh() * self.first(other).sin())


class Recomputed(nn.Module):
    """Layers that a checkpoint runs again in each product."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(NUM_FEATURES, 6), nn.LayerNorm(6), nn.GELU())
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(checkpoint(self.layers, 2 * x, use_reentrant=False))


class ForEach(nn.Module):
    """Layers that torch.func runs for each example."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(NUM_FEATURES, 6), nn.Tanh(), nn.Linear(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        return vmap(lambda row: self.layers(row[None])[0])(x)


class Slope(nn.Module):
    """Outputs that are derivatives in the inputs, by forward mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(NUM_FEATURES, 6), nn.Sigmoid(), nn.Linear(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x, x.roll(1, dims=1))
            return forward_ad.unpack_dual(self.layers(dual)).tangent


class Rows(nn.Module):
    """A first layer that meets two rows of each example, and counts its calls."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(NUM_FEATURES, 9, bias=bias), nn.Linear(9, 3)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1  # so that the library runs it twice
        pairs = torch.stack([x, x.square()], dim=2).mT
        return self.last(self.first(pairs).tanh().sum(dim=1))


class OwnGradient(nn.Module):
    """Outputs that depend on the gradient to the model's own weights."""

    def __init__(self, options: dict[str, bool]) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(NUM_FEATURES, 6), nn.Linear(6, 3)
        self.options = {"create_graph": True} | options

    def forward(self, x: Tensor) -> Tensor:
        z = self.last(self.first(x).tanh())
        (own,) = torch.autograd.grad(z.square().mean(), self.first.weight, **self.options)
        return z if own is None else z * (1 + own.square().sum())


class Cached(nn.Module):
    """A layer whose first outputs stay in the model."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.kept = nn.Linear(NUM_FEATURES, 6), nn.Linear(6, 3), {}

    def forward(self, x: Tensor) -> Tensor:
        if "z" not in self.kept:
            self.kept["z"] = self.first(x).tanh()
        return self.last(self.kept["z"]) + self.first.weight.pow(4).sum()


class FrozenMeanwhile(nn.Module):
    """A first layer that is constant within the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(NUM_FEATURES, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.first.weight.requires_grad_(False)
        z = self.first(x).tanh()
        self.first.weight.requires_grad_(True)
        return self.last(z)


class BesideVmap(nn.Module):
    """A first layer within a transform of something else."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(NUM_FEATURES, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        scales = torch.ones(2, dtype=x.dtype)
        return self.last(vmap(lambda scale: scale * self.first(x).tanh())(scales).sum(dim=0))


class Cubed(TorchFunctionMode):
    """Linear layers of another kind, while it is on."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is functional.linear:
            x, weight, *rest = args
            args = x, weight.pow(3), *rest
        return func(*args, **(kwargs or {}))


MODELS = {
    "perceptron": lambda: nn.Sequential(nn.Linear(NUM_FEATURES, 6), nn.GELU(), nn.Linear(6, 3)),
    "without bias": lambda: nn.Sequential(
        nn.Linear(NUM_FEATURES, 6, bias=False), nn.Tanh(), nn.Linear(6, 3)
    ),
    "the same input twice": lambda: Twice(True),
    "two inputs": lambda: Twice(False),
    "checkpoint": Recomputed,
    "rows": Rows,
    "torch.func": ForEach,
    "forward mode": Slope,
    "its own gradient": lambda: OwnGradient({}),
    "its own gradient or none": lambda: OwnGradient({"allow_unused": True}),
    "its own gradient or zero": lambda: OwnGradient({"materialize_grads": True}),
    "frozen meanwhile": FrozenMeanwhile,
    "beside vmap": BesideVmap,
}


def flat(tensors: list[Tensor | None], model: nn.Module) -> Tensor:
    pairs = zip(tensors, model.parameters(), strict=True)
    return torch.cat([(torch.zeros_like(p) if t is None else t).flatten() for t, p in pairs])


def dense(model: nn.Module, loss_fn, x: Tensor) -> Tensor:
    """The Hessian row by row, by torch's own operations."""
    parameters = list(model.parameters())
    loss = loss_fn(model(x), CLASSES)
    options = {"create_graph": True, "allow_unused": True}
    first = flat(torch.autograd.grad(loss, parameters, **options), model)
    return torch.stack([flat(torch.autograd.grad(g, parameters, **options), model) for g in first])


def check(model: nn.Module, loss_fn, x: Tensor) -> None:
    """Compare the eigenvalue and its vector with the dense Hessian's."""
    found = hessian_norm(model, loss_fn, x, CLASSES, tolerance=1e-9, max_products=200)
    hessian = dense(model, loss_fn, x)
    assert found.norm == pytest.approx(torch.linalg.eigvalsh(hessian).abs().max().item(), rel=1e-6)
    image, vector = hessian @ found.eigenvector, found.eigenvector
    torch.testing.assert_close(image, found.eigenvalue * vector, atol=1e-3 * found.norm, rtol=0)
    assert found.guess.shape == vector.shape == (len(hessian),)


@pytest.fixture
def widths(monkeypatch) -> list[int]:
    """The lengths of the vectors that Lanczos' method works on."""
    lengths, search = [], curvature.lanczos

    def lanczos(product, start: Tensor, *limits) -> object:
        lengths.append(len(start))
        return search(product, start, *limits)

    monkeypatch.setattr(curvature, "lanczos", lanczos)
    return lengths


def data(num_examples: int = NUM_EXAMPLES) -> Tensor:
    return draw(num_examples, NUM_FEATURES)


@pytest.mark.parametrize("name", MODELS)
def test_norm_and_vector_are_those_of_the_dense_hessian(name, widths):
    model = filled(MODELS[name]()).double()
    check(model, cross_entropy, data())
    all_numbers = sum(p.numel() for p in model.parameters())
    fewer = name in ("perceptron", "without bias", "rows")
    assert (widths[-1] < all_numbers) == fewer


def test_vectors_have_a_column_for_each_example(widths):
    hessian_norm(filled(MODELS["perceptron"]()).double(), cross_entropy, data(), CLASSES)
    assert widths == [6 * NUM_EXAMPLES + 6 + 6 * 3 + 3]


def test_more_examples_than_columns_or_rows_need_all_weights(widths):
    model, classes = filled(MODELS["perceptron"]()).double(), torch.zeros(6, dtype=torch.int64)
    hessian_norm(model, cross_entropy, data(6), classes)
    assert widths == [sum(p.numel() for p in model.parameters())]


def test_weights_in_the_loss_need_all_of_them(widths):
    model = filled(MODELS["perceptron"]()).double()

    def penalised(outputs: Tensor, classes: Tensor) -> Tensor:
        return cross_entropy(outputs, classes) + model[0].weight.pow(4).sum()

    check(model, penalised, data())
    assert widths == [sum(p.numel() for p in model.parameters())]


def test_tied_weights_need_all_of_them():
    model = filled(nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))).double()
    model[2].weight = model[0].weight
    check(model, cross_entropy, draw(NUM_EXAMPLES, 6))


def test_rows_out_of_order_give_the_same_outputs_in_both_passes(widths):
    # Torch multiplies these in an order that depends on whether the weights need a gradient.
    model = filled(Rows(bias=False)).double()
    x = draw(NUM_FEATURES, NUM_EXAMPLES).T
    hessian_norm(model, cross_entropy, x, CLASSES)
    assert widths[0] < sum(p.numel() for p in model.parameters())


def test_what_a_pass_leaves_in_the_model_is_not_there_in_the_next():
    model = filled(Cached()).double()
    expected = dense(copy.deepcopy(model), cross_entropy, data())
    found = hessian_norm(model, cross_entropy, data(), CLASSES, tolerance=1e-9).norm
    assert found == pytest.approx(torch.linalg.eigvalsh(expected).abs().max().item(), rel=1e-6)
    assert not model.kept


def test_a_mode_around_it_needs_all_weights(widths):
    model = filled(MODELS["perceptron"]()).double()
    with Cubed():
        check(model, cross_entropy, data())
    assert widths == [sum(p.numel() for p in model.parameters())]


def test_sparse_inputs_keep_all_weights(widths):
    model = filled(MODELS["perceptron"]()).double()
    found = hessian_norm(model, cross_entropy, data().to_sparse(), CLASSES, tolerance=1e-9)
    exact = torch.linalg.eigvalsh(dense(model, cross_entropy, data())).abs().max().item()
    assert found.norm == pytest.approx(exact, rel=1e-6)
    assert widths == [sum(p.numel() for p in model.parameters())]


def test_a_start_vector_of_whole_numbers_is_refused():
    model = filled(MODELS["perceptron"]()).double()
    start = torch.ones(sum(p.numel() for p in model.parameters()), dtype=torch.int64)
    with pytest.raises(InputError, match=r"start vector's precision is torch\.int64"):
        hessian_norm(model, cross_entropy, data(), CLASSES, start=start)


@pytest.mark.parametrize("x", [torch.zeros, torch.ones])
def test_examples_may_be_zero_or_equal(x):
    check(filled(MODELS["perceptron"]()).double(), cross_entropy, x(4, NUM_FEATURES).double())


def test_a_frozen_network_before_it_makes_a_first_layer(widths):
    model = filled(nn.Sequential(nn.Linear(5, 12), nn.Tanh(), *MODELS["perceptron"]())).double()
    model[0].requires_grad_(False)
    found = hessian_norm(model, cross_entropy, draw(NUM_EXAMPLES, 5), CLASSES, tolerance=1e-9)
    after = model[2:]
    expected = dense(after, cross_entropy, model[:2](draw(NUM_EXAMPLES, 5)))
    assert widths[0] < len(expected)
    assert found.norm == pytest.approx(torch.linalg.eigvalsh(expected).abs().max().item(), rel=1e-6)


def test_a_start_vector_of_which_nothing_is_left_gives_way_to_a_random_one():
    model = filled(MODELS["without bias"]()).double()
    outside = torch.linalg.svd(data())[2][-1]  # orthogonal to the examples
    start = torch.cat([outside.repeat(6), torch.zeros(6 * 3 + 3).double()])
    found = hessian_norm(model, cross_entropy, data(), CLASSES, start=start, tolerance=1e-9)
    exact = torch.linalg.eigvalsh(dense(model, cross_entropy, data())).abs().max().item()
    assert found.norm == pytest.approx(exact, rel=1e-6)
    with pytest.raises(InputError, match="start vector"):
        hessian_norm(model, cross_entropy, data(), CLASSES, start=torch.zeros_like(start))


def test_inputs_too_large_for_squares_keep_all_weights(widths):
    model = nn.Sequential(nn.Linear(NUM_FEATURES, 6), nn.Tanh(), nn.Linear(6, 3))
    with torch.no_grad():
        model[0].weight.mul_(1e-38)
    with pytest.raises(InputError, match="not finite"):
        hessian_norm(model, cross_entropy, 2e38 * data().float().sign(), CLASSES)
    assert set(widths) == {sum(p.numel() for p in model.parameters())}


def test_a_projection_and_back_is_the_projection():
    weight = filled(nn.Linear(NUM_FEATURES, 6)).double().weight
    coordinates = Coordinates([weight])
    with coordinates.in_use():
        functional.linear(data(), weight)
    vector = draw(weight.numel(), seed=3)
    inside = coordinates.expand(coordinates.reduce(vector)).view_as(weight)
    rows = data()
    expected = vector.view_as(weight) @ torch.linalg.pinv(rows) @ rows
    torch.testing.assert_close(inside, expected)
