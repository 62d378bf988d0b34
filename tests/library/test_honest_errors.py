"""How often what has converged is off, on random small networks: the documented shares."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils.curvature import hessian_norm
from liprune_utils.example_scores import example_hessian_norms

pytestmark = pytest.mark.usefixtures("one_thread")
ACTIVATIONS = (nn.Tanh, nn.Sigmoid, nn.ReLU, nn.GELU, nn.Softplus)
TOLERANCES = (1e-2, 1e-4)
loss_fn = functional.cross_entropy


def networks(count: int, many: int | None) -> Iterator[tuple[nn.Module, Tensor, Tensor]]:
    """Perceptrons of any width, depth, activation and scale in float64, and 32 examples each.

    They have two to five classes, or ``many``.
    """
    for seed in range(count):
        rng = np.random.default_rng(seed)
        dim, width, few, depth = rng.integers([2, 3, 2, 1], [9, 17, 6, 4]).tolist()
        classes = many or few
        activation, scale = ACTIVATIONS[rng.integers(5)], rng.choice([0.5, 1, 2, 3])
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            layers = [nn.Linear(dim, width), activation()]
            for _ in range(depth - 1):
                layers += [nn.Linear(width, width), activation()]
            model = nn.Sequential(*layers, nn.Linear(width, classes)).double()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter *= scale
            x = rng.choice([0.5, 1, 2]) * torch.randn(32, dim, dtype=torch.float64)
            yield model, x, torch.randint(classes, (32,))


def shares_off(count: int, many: int | None = None) -> dict[tuple[str, float], float]:
    """The share of norms that are more than 1% too small although they have converged."""
    off = {(kind, t): [] for kind in ("examples", "batches") for t in TOLERANCES}
    for model, x, y in networks(count, many):
        some, exact = (x[:8], y[:8]), {"tolerance": 1e-9, "max_products": 200, "seed": 7}
        examples = example_hessian_norms(model, loss_fn, *some, **exact).norm
        batch = hessian_norm(model, loss_fn, x, y, **exact).norm
        for t in TOLERANCES:
            found = example_hessian_norms(model, loss_fn, *some, tolerance=t, max_products=50)
            lost = 1 - found.norm / np.maximum(examples, found.norm)
            off["examples", t] += [*(lost > 0.01)[found.converged]]
            result = hessian_norm(model, loss_fn, x, y, tolerance=t)
            off["batches", t] += [result.norm < 0.99 * batch] if result.converged else []
    return {key: float(np.mean(values)) for key, values in off.items()}


@pytest.mark.parametrize(
    ("count", "slack"), [(20, 0.1), pytest.param(1000, 0.02, marks=pytest.mark.slow)]
)
def test_the_documented_shares_hold(count, slack):
    shares = shares_off(count)
    for (kind, rough), fine in {("examples", 0.11): 0.008, ("batches", 0.11): 0.008}.items():
        assert shares[kind, 1e-2] == pytest.approx(rough, abs=slack)
        assert shares[kind, 1e-4] == pytest.approx(fine, abs=slack / 2)


@pytest.mark.parametrize(
    ("count", "slack"), [(20, 0.1), pytest.param(300, 0.03, marks=pytest.mark.slow)]
)
def test_the_documented_shares_of_many_classes_hold(count, slack):
    shares = shares_off(count, many=30)
    assert shares["examples", 1e-2] == pytest.approx(0.21, abs=slack)
    assert shares["examples", 1e-4] == pytest.approx(0.008, abs=slack / 2)
