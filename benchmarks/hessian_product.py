"""Cost of a Hessian-vector product of a ResNet's batch loss, in gradients of the same batch.

    .venv/bin/python benchmarks/hessian_product.py [--depth 20] [--batch-size 128] [--rounds 9]

Times, in turns within one run: a plain gradient; a product by torch's own double backward; the same
with the library's batch norm and convolution. Prints medians and their ratios to the gradient.
Stops if the two products differ by more than rounding. Then the cost of one product for each of 32
examples, the Lanczos step included, against 32 examples' share of the batch's gradient.
"""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from liprune_utils.checks import exit_status, require
from liprune_utils.example_scores import example_hessian_norms
from liprune_utils.models import resnet
from liprune_utils.second_derivatives import fast_second_derivatives


def main() -> None:
    """Run the benchmark."""
    options = parse()
    generator = torch.Generator().manual_seed(0)
    model = resnet(options.depth, generator).train()
    images = torch.randn(options.batch_size, 3, 32, 32, generator=generator)
    labels = torch.randint(10, (options.batch_size,), generator=generator)
    parameters = list(model.parameters())
    vector = [torch.randn(p.shape, generator=generator) for p in parameters]
    print(f"ResNet-{options.depth}, {options.batch_size} images, {torch.get_num_threads()} threads")
    for layout in (torch.contiguous_format, torch.channels_last):
        batch = images.contiguous(memory_format=layout)
        ways = make_ways(model, parameters, batch, labels, vector)
        compare(ways["product, torch"](), ways["product, fast"]())
        report(str(layout).removeprefix("torch."), measure(ways, options.rounds))
    report_examples(model, images, labels, ways["gradient"], options.rounds)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    require(options.batch_size >= 2, "--batch-size", options.batch_size, "at least 2")
    require(options.rounds >= 1, "--rounds", options.rounds, "at least 1")
    return options


def make_ways(
    model: nn.Module, parameters: list[Tensor], images: Tensor, labels: Tensor, vector: list[Tensor]
) -> dict[str, Callable[[], tuple[Tensor, ...]]]:
    """The functions to time; the graphs that the products need are made once."""

    def gradient(create_graph: bool = False) -> tuple[Tensor, ...]:
        loss = functional.cross_entropy(model(images), labels)
        return torch.autograd.grad(loss, parameters, create_graph=create_graph)

    ways = {"gradient": gradient}
    for name, context in (("torch", nullcontext()), ("fast", fast_second_derivatives(model))):
        with context:
            first = gradient(create_graph=True)
        ways[f"product, {name}"] = lambda first=first: torch.autograd.grad(
            first, parameters, vector, retain_graph=True
        )
    return ways


def compare(expected: tuple[Tensor, ...], product: tuple[Tensor, ...]) -> None:
    """Stop if the products differ by more than float32 rounding."""
    for one, other in zip(expected, product, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-2, atol=1e-3 * one.abs().max().item())


def measure(ways: dict[str, Callable], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each way in each round; the ways take turns, so that a busy machine is fair."""
    seconds = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    return {name: np.array(values[1:]) for name, values in seconds.items()}  # first: warm-up


def report(layout: str, seconds: dict[str, np.ndarray]) -> None:
    """Print medians and ratios to the gradient of the same round."""
    for name, values in seconds.items():
        ratios = values / seconds["gradient"]
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        cost = f"{middle:.2f} gradients (quartiles {low:.2f} to {high:.2f})"
        print(f"{layout:>17}  {name:<15} {np.median(values):.3f} s  {cost}")


def report_examples(
    model: nn.Module, images: Tensor, labels: Tensor, gradient: Callable, rounds: int
) -> None:
    """Print the cost of a product per example, from the time of 13 products minus that of 3."""
    count = min(32, len(images))
    data = functional.cross_entropy, images[:count], labels[:count]
    ways = {"gradient": gradient}
    for products in (3, 13):
        options = {"tolerance": 1e-12, "max_products": products}
        ways[str(products)] = lambda options=options: example_hessian_norms(model, *data, **options)
    seconds = measure(ways, rounds)
    share = seconds["gradient"] * count / len(images)
    low, middle, high = np.quantile((seconds["13"] - seconds["3"]) / 10 / share, (0.25, 0.5, 0.75))
    print(f"product per example: {middle:.2f} gradients (quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    sys.exit(exit_status(main))
