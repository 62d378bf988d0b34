"""Random tensors and a small classifier, that the tests of scores share."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

NUM_CLASSES = 4


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def filled(model: nn.Module) -> nn.Module:
    """The model in float64 and train mode, its parameters and running statistics drawn."""
    model = model.double().train()
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=number))
        for number, buffer in enumerate(model.buffers()):
            if buffer.is_floating_point():
                buffer.copy_(draw(*buffer.shape, seed=100 + number).square() + 0.5)
    return model


def small_net() -> nn.Sequential:
    layers = nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Tanh(), nn.Dropout(0.5), nn.Flatten()
    return filled(nn.Sequential(*layers, nn.Linear(12, NUM_CLASSES)))


def examples(count: int = 5) -> tuple[Tensor, Tensor]:
    """Inputs for the small network, and labels of all classes."""
    return draw(count, 2, 3, 3, seed=30), torch.arange(count) % NUM_CLASSES


def lived_in() -> nn.Sequential:
    """The small network with modes, gradients and flags unlike those of a new one."""
    model = small_net()
    model[3].eval()
    model[5].weight.grad = draw(NUM_CLASSES, 12)
    model[5].bias.requires_grad_(False)
    return model


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Assert that a block leaves a model and torch's generator as they were, even if it fails."""
    before = _snapshot(model)
    try:
        yield
    finally:
        after = _snapshot(model)
        assert before[0] == after[0]
        assert all(map(torch.equal, before[1], after[1]))


def _snapshot(model: nn.Module) -> tuple[list, list[Tensor]]:
    tensors = [*model.parameters(), *model.buffers()]
    tensors += [p.grad for p in model.parameters() if p.grad is not None]
    flags = [(id(t), t._version, t.requires_grad) for t in tensors]
    flags += [(module.training, "forward" in vars(module)) for module in model.modules()]
    return flags, [tensor.detach().clone() for tensor in [*tensors, torch.get_rng_state()]]
