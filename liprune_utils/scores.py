"""The scores that pruning can keep the largest of: of batches, and of single examples."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from liprune_utils.batch_scores import batch_hessian_norms, best_estimates, to_indices
from liprune_utils.checks import InputError, require, whole_number
from liprune_utils.curvature import check_arguments, hessian_norm
from liprune_utils.designs import leverages
from liprune_utils.example_scores import (
    el2n_scores,
    example_gauss_newton_norms,
    example_gradient_norms,
    example_hessian_norms,
    example_losses,
    forgetting_counts,
    negative_margins,
)
from liprune_utils.features import last_layer_features, leverage_scores
from liprune_utils.losses import Loss, accurate, check_targets, cross_entropy
from liprune_utils.model_inputs import Inputs, num_examples, rows, run
from liprune_utils.scoring import (
    check_model,
    check_outputs,
    check_rows,
    check_tensor,
    untouched,
)
from liprune_utils.streaming import Piece, Shard, Source, dataset_size, in_pieces, stream

SCORES = (
    "hessian-batch", "hessian", "gauss-newton", "grand", "el2n", "loss", "margin", "leverage",
    "forgetting", "random",
)  # fmt: skip
_FEW = 2  # examples that show what the outputs are
_MAX_PRODUCTS = 50  # of each batch or example


def score(
    name: str,
    model: nn.Module,
    data: Inputs | Any,
    labels: Tensor | None = None,
    *,
    batches: Sequence[np.ndarray] | None = None,
    correct: np.ndarray | None = None,
    loss: Loss = functional.cross_entropy,
    seed: int = 0,
    tolerance: float = 1e-2,
    chunk_size: int | None = None,
    folder: str | Path | None = None,
    client: Any = None,
    shard_size: int = 4096,
    loader: Mapping[str, object] | None = None,
) -> np.ndarray:
    """Score every example of a data set by one of the methods of ``SCORES``; larger is kept first.

    The model is left as it was, and so are all generators of random numbers. ``"hessian-batch"``
    (each batch's Hessian norm, the paper's score) has batch norm in train mode. The scores of
    single examples have it in eval mode, with the model's running statistics: ``"hessian"``,
    ``"gauss-newton"``, ``"grand"`` (gradient norm), ``"el2n"``, ``"loss"``, ``"margin"`` (negative)
    and ``"leverage"`` (of the last layer's features, without labels; of classifiers that end in an
    ``nn.Linear``). Leverages depend on all examples that are scored together, and need all features
    in memory; the others depend on one example alone. ``"forgetting"`` and ``"random"`` (uniform in
    [0, 1)) use no network. A Hessian norm is a lower bound; how often it is off by more than
    ``tolerance``, see `liprune_utils.lanczos.DominantEigenvalue`.

    Data are tensors, or a data set that is read in pieces and never held whole: a million examples
    need no memory for a million. Its items are (input, label), several inputs and a label, or a
    dictionary with ``labels``; a dictionary's other entries are passed to the model by name.

    Args:
        name: A name in ``SCORES``.
        model: A classifier, or any network with a ``loss`` of its own.
        data: Its inputs, shape ``[n, ...]``, on its device, or a tuple or dictionary of them; or a
            map-style ``torch.utils.data.Dataset`` of n items that is the same at every read.
        labels: Of inputs: their classes, int64, shape ``[n]``, on the model's device; or what
            ``loss`` takes.
        batches: For ``"hessian-batch"``: arrays of indices that partition the data set.
        correct: For ``"forgetting"``: as in `forgetting_counts`, shape ``[num_epochs, n]``.
        loss: Mean loss, (outputs, labels) -> scalar, of all scores that have one; ``"el2n"`` and
            ``"margin"`` are of the cross-entropy alone.
        seed: Seed of the start vectors of the Hessian norms, or of ``"random"``.
        tolerance: As in `liprune_utils.curvature.hessian_norm`, for the Hessian norms; better 1e-4
            for examples of many classes.
        chunk_size: Examples at once, for the scores of single examples; by default theirs.
        folder: For a data set: keeps each finished shard there, so that the same call goes on after
            it was killed. Shards of another model, data set or option are refused; a data set is
            told by 16 of its examples, a loss by its name.
        client: For a data set: a ``dask.distributed.Client`` whose workers score the shards (one
            worker per core, or per GPU as dask-cuda starts them), or a
            ``concurrent.futures.Executor``.
        shard_size: Examples in a shard, >= 1; of batches as many as that is.
        loader: Options of ``torch.utils.data.DataLoader``, such as ``collate_fn``, ``num_workers``.

    Returns:
        Float64 array of shape ``[n]``, in the data set's order; what `keep_highest` returns of them
        fits ``torch.utils.data.Subset``.

    Example:
        >>> import torch
        >>> model = nn.Linear(2, 3)
        >>> inputs, labels = torch.zeros(4, 2), torch.tensor([0, 1, 2, 0])
        >>> score("random", model, inputs, labels, seed=1).round(2)
        array([0.51, 0.95, 0.14, 0.95])
    """
    require(name in SCORES, "The score", name, f"one of {', '.join(SCORES)}")
    if name in ("el2n", "margin"):
        classifies = accurate(loss) is cross_entropy
        require(classifies, f"The loss of {name!r}", loss, "the cross-entropy without options")
    in_memory = isinstance(data, Tensor | tuple | dict)
    count = check_rows(data) if in_memory else dataset_size(data)
    if name == "forgetting":
        return _forgetting(correct, count)
    if name == "random":
        return np.random.default_rng(whole_number("seed", seed, 0)).random(count)
    options = {"loss": loss, "seed": seed, "tolerance": tolerance, "chunk_size": chunk_size}
    if in_memory:
        streamed = [folder, client, loader] != [None] * 3
        expected = "None, or a data set such as torch.utils.data.TensorDataset(inputs, labels)"
        require(not streamed, "folder, client or loader", "given with tensors", expected)
        return _of_tensors(name, model, data, labels, batches, options)
    require(labels is None, "labels", type(labels).__name__, "None, since the data set has its own")
    source = Source(model, data, dict(loader or {}))
    return _of_dataset(name, source, batches, options, (shard_size, folder, client))


def _of_tensors(
    name: str,
    model: nn.Module,
    inputs: Inputs,
    labels: Tensor,
    batches: Sequence[np.ndarray] | None,
    options: Mapping[str, Any],
) -> np.ndarray:
    loss, chunk_size = options["loss"], options["chunk_size"]
    data, problem = (model, inputs, labels), (model, loss, inputs, labels)
    chunks = {} if chunk_size is None else {"chunk_size": chunk_size}
    limits = {name: options[name] for name in ("seed", "tolerance")}
    match name:
        case "hessian-batch":
            return _batch_norms(*problem, batches, **limits)
        case "hessian":
            table = example_hessian_norms(*problem, **limits, max_products=_MAX_PRODUCTS, **chunks)
            return table.norm.to_numpy()
        case "gauss-newton":
            return example_gauss_newton_norms(*problem, **chunks)
        case "grand":
            return example_gradient_norms(*problem, **chunks)
        case "el2n":
            return el2n_scores(*data, **chunks)
        case "loss":
            return example_losses(*data, loss_fn=loss, **chunks)
        case "margin":
            return negative_margins(*data, **chunks)
        case "leverage":
            return leverage_scores(model, inputs, **chunks)


def _batch_norms(
    model: nn.Module,
    loss: Loss,
    inputs: Inputs,
    labels: Tensor,
    batches: Sequence[np.ndarray] | None,
    **limits: float,
) -> np.ndarray:
    """Return the Hessian norm of each example's batch."""
    check_arguments(model, inputs, "eval")
    check_tensor(model, labels, "labels")
    batches = _partition(batches, num_examples(inputs))
    with untouched(model, "eval"), torch.no_grad():  # all labels, before any work
        some = run(model, rows(inputs, slice(_FEW)))
        check_targets(accurate(loss), check_outputs(some, min(_FEW, len(labels))), labels)
    limits |= {"max_products": _MAX_PRODUCTS}
    table = batch_hessian_norms(model, inputs, labels, batches, loss_fn=loss, **limits)
    return _spread(best_estimates(table), batches)


def _of_dataset(
    name: str,
    source: Source,
    batches: Sequence[np.ndarray] | None,
    options: Mapping[str, Any],
    shards: tuple[int, str | Path | None, Any],
) -> np.ndarray:
    """Return the scores of examples that are read in pieces, or of their batches."""
    check_model(source.model)
    if name == "leverage":
        expected = "None, since a leverage depends on all examples"
        require(shards[1:] == (None, None), "folder or client", "given for leverages", expected)
        return _leverages(source, options["chunk_size"])
    loss = options["loss"]
    facts = {"score": name, "loss": getattr(loss, "__qualname__", type(loss).__name__)}
    facts |= {name: options[name] for name in ("seed", "tolerance")}
    if name != "hessian-batch":
        score_pieces = partial(_score_pieces, name, source.model, options)
        return stream(Shard(source, in_pieces, score_pieces), facts, len(source.dataset), *shards)
    batches = _partition(batches, len(source.dataset))
    facts["batches_sha256"] = sha256(str([b.tolist() for b in batches]).encode()).hexdigest()
    shard = Shard(source, partial(_some, batches), partial(_norms_in_turn, source.model, options))
    size, *rest = shards
    size = max(1, whole_number("shard_size", size, 1) // max(map(len, batches)))
    return _spread(stream(shard, facts, len(batches), size, *rest), batches)


def _leverages(source: Source, chunk_size: int | None) -> np.ndarray:
    chunks = {} if chunk_size is None else {"chunk_size": chunk_size}
    places = in_pieces(0, len(source.dataset))
    pieces = tqdm(source.read(places), "Features", len(places), disable=None)
    return leverages(
        np.concatenate([last_layer_features(source.model, x, **chunks) for x, _ in pieces])
    )


def _score_pieces(
    name: str, model: nn.Module, options: Mapping[str, Any], pieces: Iterable[Piece]
) -> np.ndarray:
    return np.concatenate([_of_tensors(name, model, *piece, None, options) for piece in pieces])


def _norms_in_turn(
    model: nn.Module, options: Mapping[str, Any], pieces: Iterable[Piece]
) -> np.ndarray:
    """Return the norms of batches, each search from what the one before has found."""
    norms, start = [], None
    limits = {name: options[name] for name in ("seed", "tolerance")}
    for piece in pieces:
        found = hessian_norm(
            model, options["loss"], *piece, start=start, max_products=_MAX_PRODUCTS, **limits
        )
        norms.append(found.norm + found.error / 2)
        start = found.guess
    return np.array(norms)


def _some(batches: Sequence[np.ndarray], first: int, stop: int) -> list[list[int]]:
    return [batch.tolist() for batch in batches[first:stop]]


def _partition(batches: Sequence[np.ndarray] | None, num_examples: int) -> list[np.ndarray]:
    """Return batches as indices; refuse those that do not hold each example once."""
    expected = "arrays of indices that partition the data set"
    require(batches is not None, "batches", batches, expected)
    batches = [to_indices(batch, num_examples).numpy() for batch in batches]
    counts = np.bincount(np.concatenate([[], *batches]).astype(int), minlength=num_examples)
    wrong = np.flatnonzero(counts != 1)
    if len(wrong):
        times = f"The batches hold index {wrong[0]} {counts[wrong[0]]} times"
        raise InputError(f"{times}; expected once, since they partition the data set.")
    return batches


def _spread(norms: np.ndarray, batches: Sequence[np.ndarray]) -> np.ndarray:
    """Give each example the norm of its batch."""
    scores = np.empty(sum(map(len, batches)))
    for batch, norm in zip(batches, norms, strict=True):
        scores[batch] = norm
    return scores


def _forgetting(correct: np.ndarray | None, num_examples: int) -> np.ndarray:
    require(correct is not None, "correct", correct, "whether each example was right at each epoch")
    counts = forgetting_counts(correct)
    name = "The number of examples in correct"
    require(len(counts) == num_examples, name, len(counts), f"{num_examples}")
    return counts
