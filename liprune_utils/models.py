"""Residual networks for CIFAR-10 (He et al. 2016, arXiv 1512.03385, Section 4.2)."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils.checks import require

Activation = Callable[[Tensor], Tensor]
_WIDTHS = (16, 32, 64)  # channels of the three stages, at full, half and quarter resolution
# Without AVX-512 torch's convolutions of bfloat16 take ten times as long as those of float32.
_SLOW_BFLOAT16 = torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")


class Convolution(nn.Conv2d):
    """A convolution without bias, whose automatic mixed precision is fast on every CPU.

    Where bfloat16 is slow, it convolves in float32 numbers that are rounded to bfloat16. Their
    products are exact in float32, so only the order of a sum may differ from torch's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return features ``[B, out_channels, H', W']``, in autocast's precision if it is on."""
        if not (_SLOW_BFLOAT16 and x.is_cpu and torch.is_autocast_enabled("cpu")):
            return super().forward(x)
        dtype = torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            x, weight = (tensor.to(dtype).float() for tensor in (x, self.weight))
            return self._conv_forward(x, weight, None).to(dtype)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters (option A).

    The shortcut skips pixels and appends channels of zeros.
    """

    def __init__(self, in_channels: int, channels: int, activation: Activation = functional.relu):
        super().__init__()
        self.activation = activation
        self.stride = channels // in_channels  # halves the resolution where the channels double
        self.missing = channels - in_channels
        self.conv1 = Convolution(in_channels, channels, 3, self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = Convolution(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return features ``[B, channels, ceil(H / stride), ceil(W / stride)]``."""
        y = self.bn2(self.conv2(self.activation(self.bn1(self.conv1(x)))))
        return self.activation(y + self._shortcut(x))

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            return x
        pixels = functional.avg_pool2d(x, 1, self.stride)  # unlike slices, keeps channels last
        return functional.pad(pixels, (0, 0, 0, 0, 0, self.missing))


class ResNet(nn.Module):
    """A convolution, three stages of residual blocks, mean pooling and a linear classifier.

    It maps images, floats of shape ``[B, 3, H, W]``, to logits of shape ``[B, num_classes]``.
    """

    def __init__(self, num_blocks: int, num_classes: int, activation: Activation):
        super().__init__()
        self.activation = activation
        channels = [_WIDTHS[0], *(width for width in _WIDTHS for _ in range(num_blocks))]
        self.conv = Convolution(3, _WIDTHS[0], 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(_WIDTHS[0])
        blocks = (ResidualBlock(*pair, activation) for pair in pairwise(channels))
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(_WIDTHS[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        features = self.blocks(self.activation(self.bn(self.conv(images))))  # [B, 64, H / 4, W / 4]
        return self.classifier(features.mean(dim=(2, 3)))


def resnet(
    depth: int,
    generator: torch.Generator,
    num_classes: int = 10,
    activation: Activation = functional.relu,
) -> ResNet:
    r"""Build a CIFAR ResNet, its weights drawn from ``generator`` alone.

    Convolutions and the classifier are Kaiming-normal: standard deviation
    :math:`\sqrt{2 / n_{\mathrm{in}}}` with :math:`n_{\mathrm{in}}` the number of inputs of one unit
    (He et al. 2015, arXiv 1502.01852). The classifier's bias is 0; batch norm has weight 1, bias 0.

    Args:
        depth: Layers with weights, 6n + 2 for n >= 1 blocks per stage.
        generator: Source of every weight; the model is on its device.
        num_classes: Logits of the classifier, >= 1.
        activation: Of every layer; He et al. have ReLU.

    Returns:
        The network, float32, in train mode: images ``[B, 3, H, W]`` to logits ``[B, num_classes]``.

    Example:
        >>> model = resnet(20, torch.Generator().manual_seed(0))
        >>> sum(parameter.numel() for parameter in model.parameters())
        269722
    """
    known = isinstance(depth, int) and depth >= 8 and depth % 6 == 2
    require(known, "depth", depth, "6n + 2 with n >= 1, such as 14 or 20")
    with torch.device("meta"):  # torch's own initialisation would draw from the global generator
        model = ResNet((depth - 2) // 6, num_classes, activation)
    model.to_empty(device=generator.device)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
    nn.init.zeros_(model.classifier.bias)
    return model
