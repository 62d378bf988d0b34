"""Last-layer features: what the last layer of a classifier sees, and the leverage of each example.

With the layers before it fixed, the last layer is a linear model on these features, so what
`liprune_utils.designs` says of points holds for examples.
"""

import numpy as np
import torch
from torch import Tensor, nn

from liprune_utils.checks import require
from liprune_utils.chunks import in_chunks
from liprune_utils.designs import leverages
from liprune_utils.losses import refuse_first
from liprune_utils.model_inputs import Inputs, num_examples, run, tensors
from liprune_utils.scoring import check_examples, check_inputs, check_model


def last_layer_features(model: nn.Module, inputs: Inputs, *, chunk_size: int = 500) -> np.ndarray:
    """Compute what the last layer of a classifier sees in eval mode, and a one for its bias.

    The model is left as it was.

    Args:
        model: A network whose outputs are those of an ``nn.Linear``, float32 or float64.
        inputs: Its inputs, shape ``[n, ...]``, on its device.
        chunk_size: Examples at once, >= 1.

    Returns:
        Float64 array of shape ``[n, num_features + 1]``; the last column is one.

    Example:
        >>> model = nn.Sequential(nn.ReLU(), nn.Linear(2, 3))
        >>> last_layer_features(model, torch.tensor([[2.0, -1.0], [0.0, 4.0]]))
        array([[2., 0., 1.],
               [0., 4., 1.]])
    """

    def see_chunk(x: Inputs, _: Tensor, first: int) -> np.ndarray:
        with torch.no_grad():
            seen = _seen_by_the_last_layer(model, x).double()
        refuse_first(~seen.isfinite().all(dim=1), "features", seen, first, "finite numbers")
        return seen.cpu().numpy()

    def check(some: Inputs) -> None:
        with torch.no_grad():
            _seen_by_the_last_layer(model, some)
        check_examples(model, some)

    check_model(model)
    check_inputs(model, inputs)
    none = next(iter(tensors(inputs).values()))  # for targets, of which features know nothing
    seen = in_chunks(see_chunk, model, inputs, none, chunk_size, check)
    return np.column_stack([seen, np.ones(len(seen))])


def leverage_scores(model: nn.Module, images: Inputs, *, chunk_size: int = 500) -> np.ndarray:
    """Compute the leverage of each example's last-layer features, with the one for the bias.

    A score of single examples that depends on all of them: see `liprune_utils.designs.leverages`.

    Args:
        model: As in `last_layer_features`.
        images: Its inputs.
        chunk_size: Examples that the model sees at once, >= 1; it does not change the scores.

    Returns:
        Float64 array of shape ``[n]``, >= 0; the mean is the rank of the features.

    Example:
        >>> model = nn.Linear(1, 2)
        >>> leverage_scores(model, torch.tensor([[-1.0], [0.0], [1.0], [4.0]])).round(2)
        array([2.14, 1.29, 1.  , 3.57])
    """
    return leverages(last_layer_features(model, images, chunk_size=chunk_size))


def _seen_by_the_last_layer(model: nn.Module, x: Inputs) -> Tensor:
    """Return the input of the linear layer whose output is the model's, ``[B, num_features]``."""
    calls = []

    def note(_: nn.Module, given: tuple, named: dict[str, Tensor], output: Tensor) -> None:
        calls.append(((*given, *named.values())[0], output, output._version))

    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_hook(note, with_kwargs=True) for layer in layers]
    try:
        outputs = run(model, x)
    finally:
        for hook in hooks:
            hook.remove()
    # What follows a layer makes another tensor of its output, or raises the version of this one.
    last = [seen for seen, own, version in calls if own is outputs and own._version == version]
    found = f"a linear layer of inputs {list(last[0].shape)}" if last else "no linear layer"
    fits = bool(last) and last[0].shape[:-1] == (num_examples(x),)
    expected = f"an nn.Linear of inputs [{num_examples(x)}, number of features]"
    require(fits, "What gives the model's outputs", found, expected)
    return last[0]
