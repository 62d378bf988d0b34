"""Training throughput: this library against common public code, turn by turn in one process.

    .venv/bin/python benchmarks/training.py                # about 8 minutes on two cores

An epoch is training with pad-4 crop and flip, and the test error at its end. *Common* is what
public CIFAR-10 code does: PIL images through torchvision's transforms in a ``DataLoader`` with two
workers, NCHW tensors, float32. All train the same ResNet with the same SGD. Prints training images
per second, the ratio to common code, and what an epoch costs when fewer batches are kept; writes
``benchmark.csv`` and its provenance to ``book/results/09_cifar10/``.
"""

import argparse
import sys
import time
from collections.abc import Callable

import pandas as pd
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from tqdm import tqdm

from experiments.cifar10.tables import throughput
from liprune_utils import data, files
from liprune_utils.checks import exit_status, require
from liprune_utils.images import fixed_batches, make_images
from liprune_utils.settings import Recipe
from liprune_utils.training import initial_network, start, train_until

RECORDED = "book/results/09_cifar10"
DEPTHS, KEPT = (14, 20), (0.2, 0.5)
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # as common code has them


class Pictures(Dataset):
    """Images as torchvision's CIFAR10 gives them: a PIL image, transformed, and its label."""

    def __init__(self, images, labels, transform):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, number):
        return self.transform(Image.fromarray(self.images[number])), int(self.labels[number])


def common_epoch(dataset: data.Dataset, recipe: Recipe, device: str = "cpu") -> Callable[[], None]:
    """Return an epoch of common code, its state kept from epoch to epoch."""
    plain = [transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)]
    moved = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
    train, test = (
        Pictures(images[:count], labels[:count], transforms.Compose(chain))
        for images, labels, count, chain in (
            (dataset.train_images, dataset.train_labels, recipe.num_images, moved + plain),
            (dataset.test_images, dataset.test_labels, recipe.num_test_images, plain),
        )
    )
    loader = DataLoader(train, recipe.batch_size, shuffle=True, num_workers=2)
    test_loader = DataLoader(test, recipe.batch_size, num_workers=2)
    model = initial_network(recipe).to(device)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )

    def epoch() -> None:
        model.train()
        for images, labels in loader:
            optimizer.zero_grad()
            logits = model(images.to(device))
            functional.cross_entropy(logits, labels.to(device)).backward()
            optimizer.step()
        common_error(model, test_loader, device)

    return epoch


def common_error(model: nn.Module, loader: DataLoader, device: str) -> float:
    """Measure the test error as common code does."""
    model.eval()
    wrong = count = 0
    with torch.no_grad():
        for images, labels in loader:
            wrong += (model(images.to(device)).argmax(dim=1).cpu() != labels).sum().item()
            count += len(labels)
    return 100 * wrong / count


def our_epoch(dataset: data.Dataset, recipe: Recipe, kept: float = 1.0) -> Callable[[], None]:
    """Return an epoch of this library on a fraction of its batches."""
    images = make_images(dataset, recipe.num_images, recipe.num_test_images)
    batches = fixed_batches(recipe.num_images, recipe.batch_size, recipe.seed)
    batches = batches[: round(kept * len(batches))]
    state = start(recipe, images)

    def epoch() -> None:
        train_until(state, images, batches, recipe, state.epoch)

    return epoch


def main() -> None:
    """Run the benchmark, print it and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000, help="training images of an epoch")
    parser.add_argument("--turns", type=int, default=3, help="epochs of each, after one to warm up")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    options = parser.parse_args()
    images, turns = options.images, options.turns
    require(128 <= images <= 50_000, "--images", images, "from a batch of 128 to 50000")
    require(turns >= 1, "--turns", turns, "at least 1")
    dataset = data.load()
    table = pd.concat([race(dataset, depth, options) for depth in DEPTHS], ignore_index=True)
    report(table)
    if not options.dry_run:
        folder = files.results_folder(RECORDED)
        files.write_table(folder, "benchmark", table)
        facts = {"command": "python benchmarks/training.py", "data_source": dataset.source}
        facts |= {"pixel_sha256": dataset.sha256, "threads": torch.get_num_threads()}
        files.write_json(folder / "benchmark.json", files.provenance(**facts))


def race(dataset: data.Dataset, depth: int, options: argparse.Namespace) -> pd.DataFrame:
    """Time an epoch of every method in turn."""
    tests = options.images // 5  # as many for each training image as CIFAR-10 has
    recipe = Recipe(depth=depth, num_images=options.images, num_test_images=tests)
    mixed = recipe.replace(precision="bfloat16")
    ways = {
        ("common", 1.0): common_epoch(dataset, recipe),
        ("float32", 1.0): our_epoch(dataset, recipe),
        ("bfloat16", 1.0): our_epoch(dataset, mixed),
        **{("bfloat16", kept): our_epoch(dataset, mixed, kept) for kept in KEPT},
    }
    rows = []
    for turn in tqdm(range(-1, options.turns), f"ResNet-{depth}"):
        for (method, kept), epoch in ways.items():
            began = time.perf_counter()
            epoch()
            row = {"depth": depth, "method": method, "keep_fraction": kept, "turn": turn}
            rows.append(row | {"seconds": time.perf_counter() - began})
    table = pd.DataFrame(rows)
    table = table.assign(images_per_second=options.images * table.keep_fraction / table.seconds)
    return table[table.turn >= 0]


def report(table: pd.DataFrame) -> None:
    """Print throughput, its ratio to common code, and the cost of an epoch by what is kept."""
    print(throughput(table).round(2).to_string(index=False))
    kept = table[table.method == "bfloat16"].groupby(["depth", "keep_fraction"]).seconds.median()
    print("seconds per epoch by fraction kept:", kept.unstack().round(2), sep="\n")


if __name__ == "__main__":
    sys.exit(exit_status(main))
