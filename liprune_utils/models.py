"""Residual networks for CIFAR-10 (He et al. 2016, arXiv 1512.03385, Section 4.2)."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils.checks import InputError

Activation = Callable[[Tensor], Tensor]
WIDTHS = (16, 32, 64)  # channels of the three stages, at full, half and quarter resolution
# Without AVX-512 torch's convolutions of bfloat16 take ten times as long as those of float32.
SLOW_BFLOAT16 = torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")


class Convolution(nn.Conv2d):
    """A convolution without bias, whose automatic mixed precision is fast on every CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; where bfloat16 is slow, in float32 on numbers that are rounded to bfloat16.

        The product of two such numbers is exact in float32, so that only the order of a sum may
        differ from torch's own.

        Args:
            x: Features of shape ``[B, in_channels, H, W]``.

        Returns:
            Features of shape ``[B, out_channels, H', W']``, in autocast's precision if it is on.
        """
        if not (SLOW_BFLOAT16 and x.is_cpu and torch.is_autocast_enabled("cpu")):
            return super().forward(x)
        dtype = torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            x, weight = (tensor.to(dtype).float() for tensor in (x, self.weight))
            return self._conv_forward(x, weight, None).to(dtype)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters (option A)."""

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
        """Apply the block; the shortcut skips pixels and appends channels of zeros.

        Args:
            x: Features of shape ``[B, in_channels, H, W]``.

        Returns:
            Features of shape ``[B, channels, ceil(H / stride), ceil(W / stride)]``.
        """
        y = self.bn2(self.conv2(self.activation(self.bn1(self.conv1(x)))))
        pixels = x[:, :, :: self.stride, :: self.stride]
        return self.activation(y + functional.pad(pixels, (0, 0, 0, 0, 0, self.missing)))


class ResNet(nn.Module):
    """A convolution, three stages of residual blocks, mean pooling and a linear classifier."""

    def __init__(self, num_blocks: int, num_classes: int, activation: Activation):
        super().__init__()
        self.activation = activation
        channels = [WIDTHS[0], *(width for width in WIDTHS for _ in range(num_blocks))]
        self.conv = Convolution(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(WIDTHS[0])
        blocks = (ResidualBlock(*pair, activation) for pair in pairwise(channels))
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(WIDTHS[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: Floats of shape ``[B, 3, H, W]``.

        Returns:
            Logits of shape ``[B, num_classes]``.
        """
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
        depth: Layers with weights, 6n + 2 for n >= 1 blocks a stage; 14 has 172,506 parameters, 20
            has 269,722.
        generator: Source of every weight; the model is on its device.
        num_classes: Logits of the classifier, >= 1.
        activation: Of every layer; He et al. have ReLU.

    Returns:
        The network, float32, in train mode.

    Raises:
        InputError: If no network has that depth.
    """
    if not isinstance(depth, int) or depth < 8 or depth % 6 != 2:
        raise InputError(f"depth is {depth!r}; expected 6n + 2 with n >= 1, such as 14 or 20.")
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
