"""What torch needs to differentiate a network twice: other forms of some operations, and words.

Attention has fused kernels without a second derivative; that of ``torch._weight_norm`` is wrong (it
fails torch's own ``gradgradcheck``); within ``vmap``, an embedding gives its padding a gradient.
What else torch cannot differentiate is said in one sentence.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from liprune_utils.batch_norm import fast_batch_norm
from liprune_utils.checks import InputError
from liprune_utils.convolution import CONVOLUTIONS
from liprune_utils.layer_norm import LAYER_NORMS

SAME = "the same, so no functional.dropout that is always on"  # expected of random passes
_NO_VMAP = (
    "torch.func.vmap cannot run this model or loss for each example ({}); score batches of one by "
    "lp.batch_hessian_norms(model, inputs, targets, [[0], [1], ...], batch_norm='eval')."
)
_NO_CHECKPOINT = "A checkpoint runs other operations again than before; score the model without it."
_NOT_TWICE = "The model or the loss cannot be differentiated twice by torch ({})."
_MEANINGS = {  # what torch says: what it means here; the first that fits counts
    "Using a target size": "Targets or labels differ from the outputs in shape; expected the same.",
    "randomness error mode": f"The model or the loss draws random numbers; expected {SAME}.",
    "Batching rule not implemented": _NO_VMAP,
    "vmap": _NO_VMAP,
    "data-dependent control flow": _NO_VMAP,
    "doesn't have storage": _NO_VMAP,  # of .numpy() within vmap
    "mutate a captured Tensor": _NO_VMAP,
    "saved tensor hooks": _NO_VMAP,  # of checkpoints
    "torch.utils.checkpoint: ": _NO_CHECKPOINT,
    "differentiate twice": _NOT_TWICE,
    "once_differentiable": _NOT_TWICE,
    "double backward": _NOT_TWICE,
    "derivative for": _NOT_TWICE,
    "is incompatible with .grad()": _NOT_TWICE,
}


@contextmanager
def differentiable_twice() -> Iterator[None]:
    """Have torch use operations with a right second derivative; refuse what has none."""
    fast = torch.backends.mha.get_fastpath_enabled()  # of nn.TransformerEncoder
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with sdpa_kernel(SDPBackend.MATH), OtherForms(_FORMS, always=True), _full_precision():
            yield
    except (RuntimeError, UserWarning) as error:
        meaning = _meaning(str(error))
        if meaning is None:
            raise
        raise InputError(meaning) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


# Torch lets a GPU round float32 to ten bits of mantissa in convolutions, and in products if asked.
@contextmanager
def _full_precision() -> Iterator[None]:
    kinds = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = [kind.fp32_precision for kind in kinds]
    try:
        for kind in kinds:
            kind.fp32_precision = "ieee"
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


@contextmanager
def fast_second_derivatives(model: nn.Module) -> Iterator[None]:
    """Give a model's operations second derivatives that are as fast as their kernels.

    Yields:
        Nothing; afterwards the model and torch's functions are their own again.
    """
    with fast_batch_norm(model), OtherForms(CONVOLUTIONS | LAYER_NORMS):
        yield


class OtherForms(TorchFunctionMode):
    """Calls other forms of some of torch's functions, for a block's time.

    Unless they are meant ``always``, a checkpoint calls torch's functions: it runs again in a
    backward pass, where torch leaves out every mode, and has to find the same operations.
    """

    def __init__(self, forms: Mapping[Callable, Callable], always: bool = False) -> None:
        super().__init__()
        self._forms, self._always = forms, always

    def __torch_function__(self, func, types, args=(), kwargs=None):
        form = self._forms.get(func)
        if form is None or not (self._always or _runs_once()):
            form = func
        return form(*args, **(kwargs or {}))


def _runs_once() -> bool:
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is None


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    return v * (g / torch.norm_except_dim(v, 2, dim))


def _embedding(
    indices: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    *more: object,
    **named: object,
) -> Tensor:
    if padding_idx is not None:
        rows = torch.arange(len(weight), device=weight.device)[:, None]
        weight = torch.where(rows == padding_idx % len(weight), weight.detach(), weight)
    return functional.embedding(indices, weight, None, *more, **named)


_FORMS = {torch._weight_norm: _weight_norm, functional.embedding: _embedding}


def _meaning(said: str) -> str | None:
    reason = said.strip().split("\n")[0].split(". ")[0].rstrip(".")
    found = (meaning for text, meaning in _MEANINGS.items() if text in said)
    return next((meaning.format(reason) for meaning in found), None)
