"""Every score of each network of the zoo: the dense value, or a sentence; all as it was."""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from dense import references
from torch import Tensor, nn
from torch.nn import functional
from zoo import COUNT, SCORES, VMAPPED, ZOO, Member

from liprune_utils.batch_scores import batch_hessian_norms
from liprune_utils.checks import InputError
from liprune_utils.scores import score

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning"),
]
IN_BATCHES = {"hessian-batch", "loss"}  # what is refused to a batch of one, too
BATCH = [np.arange(COUNT)]


def contents(value: object) -> object:
    """What an attribute is: the object, and its entries if it has any."""
    if isinstance(value, dict):
        return id(value), [(key, id(entry)) for key, entry in value.items()]
    return id(value), [id(entry) for entry in value] if isinstance(value, list) else None


def state_of(model: nn.Module) -> tuple[list, list[Tensor]]:
    attributes = [(k, contents(v)) for m in model.modules() for k, v in vars(m).items()]
    tensors = [*model.parameters(), *model.buffers()]
    tensors += [v for m in model.modules() for v in vars(m).values() if isinstance(v, Tensor)]
    grads = [t.grad if t.is_leaf else None for t in tensors]
    rows = zip(tensors, grads, strict=True)
    flags = [(id(t), t._version, t.requires_grad, id(g), t.stride()) for t, g in rows]
    own = [v for m in model.modules() for v in vars(m).values() if isinstance(v, torch.Generator)]
    states = [torch.get_rng_state(), *[generator.get_state() for generator in own]]
    others = np.random.get_state()[2], random.getstate()  # noqa: NPY002
    return [attributes, flags, others], [t.detach().clone() for t in [*tensors, *states]]


@contextmanager
def all_as_before(model: nn.Module, *data: Tensor) -> Iterator[None]:
    flags, tensors = state_of(model)
    copies = [tensor.clone() for tensor in data]
    try:
        yield
    finally:
        after = state_of(model)
        assert after[0] == flags
        assert all(map(torch.equal, after[1], tensors))
        assert all(map(torch.equal, data, copies))


def train(model: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        functional.cross_entropy(model(x.clone()), y).backward()
    optimiser.step()


def assert_still_trained(member: Member, scored: nn.Module, optimiser: torch.optim.Optimizer):
    """A step of the optimiser made before has the effect that it has on a network never scored."""
    twin = member.model()
    other = torch.optim.SGD(twin.parameters(), lr=0.1)
    for model, own in ((scored, optimiser), (twin, other)):
        train(model, own, *member.data())
    assert all(map(torch.equal, scored.parameters(), twin.parameters()))
    assert all(map(torch.equal, scored.buffers(), twin.buffers()))


NO_STEP = ("tuple as output", "dictionary as output", "sparse embedding", "changes its weights",
           "noise of numpy", "noise of Python", "noise of its own")  # fmt: skip


@pytest.mark.parametrize("score_name", SCORES)
@pytest.mark.parametrize("name", ZOO)
def test_the_dense_value_or_a_sentence_and_the_network_as_before(name, score_name):
    member = ZOO[name]
    model, (x, y) = member.model(), member.data()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    arguments, options = (score_name, model, x, y), {"batches": BATCH, "tolerance": 1e-7}
    with all_as_before(model, x, y):
        if score_name in member.refused:
            with pytest.raises(InputError, match=member.refused[score_name]) as refused:
                score(*arguments, **options)
            assert re.fullmatch(r"[^\n]+\.", str(refused.value))
        else:
            found = score(*arguments, **options)
            again = score(*arguments, **options)
            np.testing.assert_array_equal(found, again)
    if score_name not in member.refused and score_name != "leverage":
        rtol = 1e-4 if member.dtype == torch.float32 else 1e-6
        np.testing.assert_allclose(found, references(name)[score_name], rtol=rtol, atol=1e-12)
    if name not in NO_STEP:
        assert_still_trained(member, model, optimiser)


NO_VMAP = [n for n, m in ZOO.items() if "hessian" in m.refused and not IN_BATCHES & {*m.refused}]


@pytest.mark.parametrize("name", NO_VMAP)
def test_what_vmap_cannot_run_is_scored_in_batches_of_one(name):
    member = ZOO[name]
    x, y = member.data()
    ones = [[i] for i in range(COUNT)]
    table = batch_hessian_norms(member.model(), x, y, ones, batch_norm="eval", tolerance=1e-7)
    rtol = 1e-4 if member.dtype == torch.float32 else 1e-6
    np.testing.assert_allclose(table.norm, references(name)["hessian"], rtol=rtol)


def test_the_zoo_is_large():
    assert len(ZOO) >= 20
    assert sum(not member.refused for member in ZOO.values()) >= 20
    assert set(VMAPPED) < set(SCORES)
