"""Hessian norms of CIFAR-10 batches: this library against its peers, in accuracy and time.

    .venv/bin/pip install -r benchmarks/requirements.txt
    .venv/bin/python benchmarks/hessian_norm.py            # about an hour
    .venv/bin/python benchmarks/hessian_norm.py --networks # about 15 minutes

One process, batch after batch: every method scores a batch before the next batch comes, so that a
busy machine is fair to all. ResNet-20 on batches of 128, train-mode batch norm, before training and
after two epochs. All methods score four batches; this library and a float64 reference score 30.
Prints seconds of the processor per batch, on one thread, errors and ratios, and writes
``benchmark.csv`` and its provenance to ``book/results/08_hessian_norm/``. The peers' settings:
PyHessian's defaults; scipy's ``eigsh`` on a curvlinops operator and power iteration, each to a
relative 1e-3; hessian-eigenthings' Lanczos with 12 steps, since its default of 2 finds nothing.

With ``--networks`` this library and PyHessian score a few batches of four networks, each before and
after two epochs on 5,120 images. That goes to ``benchmark_networks.csv``. There the reference is in
float32, from the vector found, to 1e-5.
"""

import argparse
import copy
import itertools
import resource
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

import networks
import numpy as np
import pandas as pd
import torch
from curvlinops import HessianLinearOperator
from hessian_eigenthings import HessianOperator, lanczos
from pyhessian import hessian as pyhessian
from scipy.sparse.linalg import eigsh
from torch import Tensor, autograd, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from experiments.hessian_norm.record import RECORDED
from experiments.hessian_norm.tables import against_pyhessian, summarise_benchmark, times_faster
from liprune_utils import data, files
from liprune_utils.checks import exit_status, require
from liprune_utils.curvature import hessian_norm
from liprune_utils.images import fixed_batches, make_images
from liprune_utils.settings import Recipe
from liprune_utils.training import start, train_until

ACCURATE, RANKING = 1e-3, 3e-2  # tolerances of this library's two modes
RECIPE = Recipe(depth=20, learning_rate=0.01)
NUM_IMAGES = 5120  # of the training of several networks
loss_fn = functional.cross_entropy


@dataclass
class WarmEngine:
    """This library, each batch warm-started from the one before."""

    tolerance: float
    guess: Tensor | None = None

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, int]:
        """Score a batch: the best estimate of the signed eigenvalue, and the products taken."""
        result = hessian_norm(model, loss_fn, x, y, start=self.guess, tolerance=self.tolerance)
        self.guess = result.guess
        estimate = float(np.copysign(result.norm + result.error / 2, result.eigenvalue))
        return estimate, result.num_products


def reference(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, int]:
    """A cold start in float64, to an estimated error of 1e-4."""
    result = hessian_norm(model, loss_fn, x, y, tolerance=1e-4, max_products=100)
    assert result.converged
    return result.eigenvalue, result.num_products


@dataclass(eq=False)  # torch looks functions up
class Watched:
    """A function that counts its calls and their seconds of the processor."""

    function: Callable
    calls: int = 0
    seconds: float = 0.0
    is_running: bool = False

    def __call__(self, *args: object, **options: object) -> object:
        """Call the function; torch's modes let one call itself, which counts once."""
        if self.is_running:
            return self.function(*args, **options)
        began, self.is_running = time.process_time(), True
        try:
            return self.function(*args, **options)
        finally:
            self.calls, self.seconds = self.calls + 1, self.seconds + time.process_time() - began
            self.is_running = False


def by_pyhessian(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, int]:
    """PyHessian with its defaults."""
    module = sys.modules[pyhessian.__module__]
    product = Watched(module.hessian_vector_product)
    with patch.object(module, "hessian_vector_product", product):
        values, _ = pyhessian(model, loss_fn, data=(x, y), cuda=False).eigenvalues()
    model.zero_grad(set_to_none=True)  # its graph would stay alive
    return values[0], product.calls


def by_curvlinops(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, int]:
    """ARPACK on curvlinops' operator."""
    loss = nn.CrossEntropyLoss()
    parameters = list(model.parameters())
    operator = HessianLinearOperator(
        model, loss, parameters, [(x, y)], num_data=len(x), check_deterministic=False
    )
    first = np.random.default_rng(0).standard_normal(operator.shape[0]).astype(np.float32)
    values = eigsh(operator.to_scipy(), k=1, v0=first, tol=ACCURATE, return_eigenvectors=False)
    return float(values[0]), 0


def by_eigenthings(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, int]:
    """hessian-eigenthings' Lanczos."""
    operator = HessianOperator(
        model, [(x, y)], lambda model, pair: loss_fn(model(pair[0]), pair[1])
    )
    result = lanczos(operator, k=1, max_iter=12, seed=0)
    return float(result.eigenvalues[0]), 12


def by_power_iteration(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, int]:
    """Plain power iteration by double backward, with PyHessian's stopping rule."""
    parameters = list(model.parameters())
    sizes = [p.numel() for p in parameters]
    gradient = autograd.grad(loss_fn(model(x), y), parameters, create_graph=True)
    vector = torch.randn(sum(sizes), generator=torch.Generator().manual_seed(0))
    values = []
    while len(values) < 2 or abs(values[-1] - values[-2]) > 1e-3 * abs(values[-1]):
        parts = zip((vector / vector.norm()).split(sizes), parameters, strict=True)
        shaped = [part.view_as(p) for part, p in parts]
        image = autograd.grad(gradient, parameters, shaped, retain_graph=True)
        values.append(sum((a * b).sum() for a, b in zip(image, shaped, strict=True)).item())
        vector = torch.cat([part.reshape(-1) for part in image])
        if len(values) == 100:
            break
    return values[-1], len(values)


PEERS = {
    "PyHessian": by_pyhessian,
    "curvlinops": by_curvlinops,
    "hessian-eigenthings": by_eigenthings,
    "power iteration": by_power_iteration,
}


def main() -> None:
    """Run the benchmark, print it and write it."""
    options = parse()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # so that seconds of the processor are those of the work
    dataset = data.load()
    if options.networks:
        name, table = "benchmark_networks", score_networks(dataset, options)
        print(against_pyhessian(table).to_string(index=False, float_format="{:.3g}".format))
    else:
        name, table = "benchmark", score_resnet(dataset, options)
        report(table)
    if not options.dry_run:
        folder = files.results_folder(RECORDED)
        files.write_table(folder, name, table)
        facts = {"command": "python benchmarks/hessian_norm.py" + " --networks" * options.networks}
        facts |= {"data_source": dataset.source, "pixel_sha256": dataset.sha256}
        facts["threads"] = torch.get_num_threads()
        files.write_json(folder / f"{name}.json", files.provenance(**facts))


def score_resnet(dataset: data.Dataset, options: argparse.Namespace) -> pd.DataFrame:
    """Score batches of a ResNet-20 by all methods."""
    images = make_images(dataset, RECIPE.num_images, RECIPE.num_test_images)
    batches = fixed_batches(len(images.labels), RECIPE.batch_size, seed=0)
    state, rows = start(RECIPE, images), []
    for epochs in (0, options.epochs):
        train_until(state, images, batches, RECIPE, epochs)
        chosen = [torch.from_numpy(batch) for batch in batches[: options.batches]]
        pairs = [(images.inputs[batch], images.labels[batch]) for batch in chosen]
        rows += [{"epochs": epochs} | row for row in score(state.model.train(), pairs, options)]
    return with_errors(pd.DataFrame(rows), ["epochs", "batch"])


def score_networks(dataset: data.Dataset, options: argparse.Namespace) -> pd.DataFrame:
    """Score a few batches of several networks by this library and by PyHessian."""
    images = make_images(dataset, NUM_IMAGES, 1)
    batches, rows = fixed_batches(NUM_IMAGES, RECIPE.batch_size, seed=0), []
    few = [torch.from_numpy(batch) for batch in batches[: options.peer_batches]]
    for name in networks.NETWORKS:
        model = networks.make(name)
        for epochs in (0, options.epochs):
            engine = WarmEngine(ACCURATE)
            networks.train(model, images.inputs, images.labels, batches, epochs)
            methods = {"accurate": engine, "PyHessian": by_pyhessian,
                       "reference": partial(from_guess, engine)}  # fmt: skip
            for (number, batch), method in itertools.product(enumerate(few), methods):
                network = without_running_statistics(model.train())
                own = Watched(autograd.grad)
                pair = images.inputs[batch], images.labels[batch]
                with patch.object(autograd, "grad", own):
                    row = measure(methods[method], network, *pair)
                row |= {"derivative_seconds": own.seconds, "batch": number}
                rows.append({"network": name, "epochs": epochs, "method": method} | row)
    return with_errors(pd.DataFrame(rows), ["network", "epochs", "batch"])


def from_guess(engine: WarmEngine, model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, int]:
    """Search on from what this library has found."""
    result = hessian_norm(model, loss_fn, x, y, start=engine.guess, tolerance=1e-5, max_products=30)
    return result.eigenvalue, result.num_products


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=30, help="for this library")
    parser.add_argument("--peer-batches", type=int, default=4, help="for the peers")
    parser.add_argument("--epochs", type=int, default=2, help="of training before the second round")
    parser.add_argument("--networks", action="store_true", help="four networks, two methods")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    options = parser.parse_args()
    batches, peers, epochs = options.batches, options.peer_batches, options.epochs
    require(1 <= batches <= 391, "--batches", batches, "from 1 to 391")
    require(1 <= peers <= batches, "--peer-batches", peers, f"from 1 to --batches, {batches}")
    require(epochs >= 1, "--epochs", epochs, "at least 1, to be another stage")
    return options


def score(model: nn.Module, pairs: list, options: argparse.Namespace) -> list[dict]:
    """Let every method score its batches, in turn."""
    engines = {"accurate": WarmEngine(ACCURATE), "ranking": WarmEngine(RANKING)}
    stateless, rows = without_running_statistics(model), []
    for number, (x, y) in enumerate(tqdm(pairs, "Batches")):
        methods = engines | (PEERS if number < options.peer_batches else {})
        for name, method in methods.items():
            network = stateless if name in PEERS else model
            rows.append({"method": name, "batch": number} | measure(method, network, x, y))
        double = measure(reference, model.double(), x.double(), y)
        rows.append({"method": "reference", "batch": number} | double)
        model.float()
    return rows


def without_running_statistics(model: nn.Module) -> nn.Module:
    """Copy a model so that batch norm uses the batch's own statistics whatever a peer does.

    PyHessian switches to eval mode, and curvlinops cannot let batch norm update its buffers.
    """
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
    return model


def measure(method: Callable, model: nn.Module, x: Tensor, y: Tensor) -> dict[str, float]:
    """Time one method on one batch, in seconds of the processor."""
    run = Watched(method)
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
        eigenvalue, products = run(model, x, y)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"eigenvalue": eigenvalue, "num_products": products, "seconds": run.seconds,
            "peak_memory_mib": memory}  # fmt: skip


def with_errors(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Add the relative error of each row's norm against the reference for the same batch."""
    exact = table[table.method == "reference"].set_index(keys).eigenvalue
    expected = table.set_index(keys).index.map(exact)
    return table.assign(relative_error=np.abs(np.abs(table.eigenvalue / expected) - 1))


def report(table: pd.DataFrame) -> None:
    """Print what page 08 shows."""
    print(summarise_benchmark(table).to_string(index=False, float_format="{:.3g}".format))
    for mode in ("accurate", "ranking"):
        print(f"times faster, {mode}:")
        print(times_faster(table, mode).to_string(index=False, float_format="{:.3g}".format))


if __name__ == "__main__":
    sys.exit(exit_status(main))
