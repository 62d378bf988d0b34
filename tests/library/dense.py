"""The scores of the networks of the zoo, by dense derivatives.

They know nothing of the library: the Hessian is central differences of the gradients of a fresh
copy of the network in float64, parameter by parameter.
"""

from functools import cache

import numpy as np
import torch
from networks import draw
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from zoo import COUNT, VMAPPED, ZOO, Member

DENSE = 300  # parameters of which the whole Hessian is taken


def scoring_copy(member: Member, train: bool) -> nn.Module:
    """A fresh network in float64, in eval mode but for batch norms if ``train``."""
    model = member.model().double().eval()
    for module in model.modules():
        if train and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    for parameter in model.parameters():
        parameter._backward_hooks = None
    return model


def flat_gradient(value: Tensor, parameters: list[nn.Parameter], graph: bool = False) -> Tensor:
    grads = torch.autograd.grad(
        value, parameters, retain_graph=True, create_graph=graph, materialize_grads=True
    )
    return torch.cat([g.reshape(-1) for g in grads])


def mean_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    outputs = model(x.clone())
    return (outputs.logsumexp(1) - outputs.gather(1, y[:, None])[:, 0]).mean()


def differences(model: nn.Module, x: Tensor, y: Tensor, h: float = 1e-6) -> Tensor:
    """The Hessian by central differences of gradients, since torch's own may be wrong."""
    parameters, rows = trainable(model), []
    for parameter in parameters:
        values = parameter.data.clone()
        for place in np.ndindex(*parameter.shape):
            ends = []
            for step in (h, -h):
                parameter.data[place] = values[place] + step
                ends.append(flat_gradient(mean_loss(model, x, y), parameters))
            parameter.data[place] = values[place]
            rows.append((ends[0] - ends[1]) / (2 * h))
    H = torch.stack(rows)
    H[(H == 0).all(dim=0)] = 0  # an embedding's padding has no gradient, though it has an effect
    return (H + H.T) / 2


def by_arpack(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The Hessian's norm by double backward, for many parameters."""
    parameters = trainable(model)
    gradient = flat_gradient(mean_loss(model, x, y), parameters, graph=True)

    def product(v: np.ndarray) -> np.ndarray:
        return flat_gradient(gradient @ torch.from_numpy(v.ravel()), parameters).numpy()

    size = len(gradient)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    start = draw(size).numpy()
    values = eigsh(operator, k=1, which="LM", v0=start, tol=1e-9, return_eigenvectors=False)
    return abs(values[0])


def trainable(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def hessian_norm(model: nn.Module, x: Tensor, y: Tensor) -> float:
    if sum(p.numel() for p in trainable(model)) > DENSE:
        return by_arpack(model, x, y)
    return torch.linalg.matrix_norm(differences(model, x, y), 2).item()


def gradient_norms(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    """The norms of one example's Gauss-Newton matrix and gradient."""
    parameters, outputs = trainable(model), model(x.clone())[0]
    p = outputs.detach().softmax(0)
    jacobian = torch.stack([flat_gradient(z, parameters) for z in outputs])
    values, vectors = torch.linalg.eigh(p.diag() - p.outer(p))
    factor = vectors * values.clamp(min=0).sqrt()
    gauss_newton = torch.linalg.matrix_norm(jacobian.T @ factor, 2).item() ** 2
    return gauss_newton, flat_gradient(mean_loss(model, x, y), parameters).norm().item()


@cache
def references(name: str) -> dict[str, np.ndarray]:
    """The scores that a member has, by dense float64 derivatives."""
    member = ZOO[name]
    x, y = member.data()
    x = x if member.tokens else x.double()
    found = {}
    if "hessian-batch" not in member.refused:
        found["hessian-batch"] = np.repeat(hessian_norm(scoring_copy(member, True), x, y), COUNT)
    if "loss" in member.refused:
        return found
    pairs = [(x[[i]], y[[i]]) for i in range(COUNT)]
    own = [scoring_copy(member, False) for _ in pairs]
    rows = [
        (hessian_norm(model, *pair), *gradient_norms(model, *pair))
        for model, pair in zip(own, pairs, strict=True)
    ]
    found |= dict(zip(VMAPPED, np.array(rows).T, strict=True))
    with torch.no_grad():
        logits = [scoring_copy(member, False)(a.clone())[0].tolist() for a, _ in pairs]
    return found | by_hand(np.array(logits), y.numpy())


def by_hand(z: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """The scores from logits."""
    own = np.eye(z.shape[1], dtype=bool)[y]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    margin = np.where(own, -np.inf, z).max(axis=1) - z[own]
    return {"el2n": np.linalg.norm(p - own, axis=1), "loss": -np.log(p[own]), "margin": margin}
