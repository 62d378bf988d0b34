"""The CIFAR ResNets: parameter counts, initialisation from the generator alone, shapes."""

import math

import pytest
import torch
from torch import nn

from liprune_utils import models
from liprune_utils.checks import InputError
from liprune_utils.models import Convolution, ResidualBlock, resnet


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("depth", "count"), [(14, 172_506), (20, 269_722), (56, 853_018)])
def test_number_of_parameters_is_that_of_option_a(depth, count):
    assert sum(parameter.numel() for parameter in resnet(depth, seeded()).parameters()) == count


@pytest.mark.parametrize("depth", [8, 14, 20])
def test_depth_counts_the_layers_with_weights(depth):
    layers = [m for m in resnet(depth, seeded()).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


@pytest.mark.parametrize("size", [8, 31, 32])
def test_logits_are_one_row_an_image(size):
    model = resnet(8, seeded(), num_classes=7)
    assert model(torch.randn(3, 3, size, size, generator=seeded())).shape == (3, 7)


def test_feature_maps_are_halved_twice():
    model = resnet(14, seeded())
    shapes = []
    for block in model.blocks:
        block.register_forward_hook(lambda *args: shapes.append(tuple(args[-1].shape[1:])))
    model(torch.randn(2, 3, 32, 32, generator=seeded()))
    assert shapes == [(16, 32, 32)] * 2 + [(32, 16, 16)] * 2 + [(64, 8, 8)] * 2


def test_shortcut_skips_pixels_and_appends_zeros():
    block = ResidualBlock(16, 32).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.rand(2, 16, 6, 6, generator=seeded())
    y = block(x)
    assert torch.equal(y[:, :16], x[:, :, ::2, ::2])
    assert not y[:, 16:].any()


def test_weights_are_a_function_of_the_generator_alone():
    torch.manual_seed(1)
    first = resnet(8, seeded(3)).state_dict()
    torch.manual_seed(2)
    second, other = resnet(8, seeded(3)).state_dict(), resnet(8, seeded(4)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["conv.weight"], other["conv.weight"])


def test_global_generator_is_neither_consumed_nor_disturbed():
    state = torch.get_rng_state()
    resnet(14, seeded())
    assert torch.equal(torch.get_rng_state(), state)


def test_every_weight_is_initialised():
    for module in resnet(20, seeded()).modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            expected = math.sqrt(2 / module.weight[0].numel())
            sampling = 5 / math.sqrt(2 * module.weight.numel())  # five standard errors
            assert module.weight.std().item() == pytest.approx(expected, rel=sampling)
        elif isinstance(module, nn.BatchNorm2d):
            fresh = nn.BatchNorm2d(module.num_features).state_dict()
            assert all(torch.equal(value, fresh[key]) for key, value in module.state_dict().items())
    assert not resnet(8, seeded()).classifier.bias.any()


def test_model_is_trainable_from_the_start():
    model = resnet(8, seeded())
    assert all(module.training for module in model.modules())
    model(torch.randn(4, 3, 8, 8, generator=seeded())).square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert all(parameter.grad.any() for parameter in model.parameters())


@pytest.mark.parametrize("depth", [2, 15, -4, 14.0, "14"])
def test_impossible_depth_is_refused(depth):
    with pytest.raises(InputError, match=r"^depth is .*; expected 6n \+ 2 with n >= 1"):
        resnet(depth, seeded())


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_in_mixed_precision_is_torchs_own(monkeypatch, stride):
    layer = Convolution(8, 16, 3, stride, padding=1, bias=False)
    nn.init.normal_(layer.weight, generator=seeded())
    found = {}
    for slow in (True, False):
        monkeypatch.setattr(models, "SLOW_BFLOAT16", slow)
        x = torch.randn(4, 8, 10, 10, generator=seeded(1)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        gradients = torch.autograd.grad(y.float().square().sum(), [x, layer.weight])
        found[slow] = [y, *gradients]
    for one, other in zip(found[True], found[False], strict=True):
        assert one.dtype == other.dtype
        assert (one - other).norm() < 0.01 * other.norm()  # bfloat16 has eight binary digits
