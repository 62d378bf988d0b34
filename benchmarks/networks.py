"""The networks of the benchmarks: a ResNet, a VGG, a vision transformer and a perceptron."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import VisionTransformer
from torchvision.models.vgg import make_layers

from liprune_utils.models import resnet

RATE, MOMENTUM = 0.01, 0.9  # of the training


def vgg() -> nn.Module:
    """Three stages of two convolutions with batch norm, 289,000 weights."""
    features = make_layers([32, 32, "M", 64, 64, "M", 128, 128, "M"], batch_norm=True)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def transformer() -> nn.Module:
    """Four layers of attention among 64 patches of 4 x 4 pixels, 142,000 weights."""
    return VisionTransformer(
        image_size=32, patch_size=4, num_layers=4, num_heads=4, hidden_dim=64, mlp_dim=128,
        num_classes=10,
    )  # fmt: skip


def perceptron() -> nn.Module:
    """Two hidden layers of 256 GELU units, 855,000 weights."""
    layers = nn.Linear(3072, 256), nn.GELU(), nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 10)
    return nn.Sequential(nn.Flatten(), *layers)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ResNet-20": lambda: resnet(20, torch.Generator().manual_seed(0)),
    "VGG": vgg,
    "transformer": transformer,
    "perceptron": perceptron,
}


def make(name: str) -> nn.Module:
    """Make a network, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NETWORKS[name]()


def train(
    model: nn.Module, inputs: Tensor, labels: Tensor, batches: list[np.ndarray], epochs: int
) -> None:
    """Train a network by SGD with momentum, the batches in their order."""
    optimiser = torch.optim.SGD(model.train().parameters(), RATE, MOMENTUM)
    for _ in range(epochs):
        for batch in map(torch.from_numpy, batches):
            optimiser.zero_grad()
            functional.cross_entropy(model(inputs[batch]), labels[batch]).backward()
            optimiser.step()
