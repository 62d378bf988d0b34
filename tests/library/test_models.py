"""The CIFAR ResNets: parameter counts, initialisation from the generator alone, shapes."""

import math

import pytest
import torch
from networks import seeded
from torch import nn

from liprune_utils import models
from liprune_utils.checks import InputError
from liprune_utils.models import Convolution, ResidualBlock, resnet


@pytest.mark.parametrize(("depth", "count"), [(14, 172_506), (20, 269_722), (56, 853_018)])
def test_number_of_parameters_is_that_of_option_a(depth, count):
    assert sum(parameter.numel() for parameter in resnet(depth, seeded()).parameters()) == count


def test_gradients_between_blocks_keep_channels_last():
    model, layouts = resnet(8, seeded()).to(memory_format=torch.channels_last), []

    def note(gradient: torch.Tensor) -> None:
        layouts.append(gradient.is_contiguous(memory_format=torch.channels_last))

    for block in model.blocks[:-1]:
        block.register_forward_hook(lambda *args: args[-1].register_hook(note) and None)
    x = torch.randn(2, 3, 32, 32, generator=seeded())
    model(x.contiguous(memory_format=torch.channels_last)).sum().backward()
    assert layouts == [True, True]


@pytest.mark.parametrize(("size", "half", "quarter"), [(8, 4, 2), (31, 16, 8), (32, 16, 8)])
def test_feature_maps_are_halved_twice(size, half, quarter):
    model, shapes = resnet(14, seeded(), num_classes=7), []
    for block in model.blocks:
        block.register_forward_hook(lambda *args: shapes.append(tuple(args[-1].shape[1:])))
    logits = model(torch.randn(2, 3, size, size, generator=seeded()))
    expected = (16, size, size), (32, half, half), (64, quarter, quarter)
    assert shapes == [shape for shape in expected for _ in range(2)]
    assert logits.shape == (2, 7)


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
    state = torch.get_rng_state()
    second, other = resnet(8, seeded(3)).state_dict(), resnet(8, seeded(4)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["conv.weight"], other["conv.weight"])
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
    results = {}
    for slow in (True, False):
        monkeypatch.setattr(models, "_SLOW_BFLOAT16", slow)
        x = torch.randn(4, 8, 10, 10, generator=seeded(1)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        gradients = torch.autograd.grad(y.float().square().sum(), [x, layer.weight])
        results[slow] = [y, *gradients]
    for one, other in zip(results[True], results[False], strict=True):
        assert one.dtype == other.dtype
        assert (one - other).norm() < 0.01 * other.norm()  # bfloat16 has eight binary digits
