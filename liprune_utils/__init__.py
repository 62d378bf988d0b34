"""Score data by Lipschitz constants, keep the highest, train on what is kept.

Each name is imported when it is first used, so that commands start without what they do not need.

Example:
    >>> import torch
    >>> import liprune_utils as lp
    >>> model, inputs = torch.nn.Linear(2, 3), torch.zeros(10, 2)
    >>> scores = lp.score("random", model, inputs, torch.zeros(10, dtype=torch.int64), seed=1)
    >>> lp.keep_highest(scores, keep_fraction=0.3)
    array([1, 3, 6])
"""

from importlib import import_module

FACE = {
    "score": "scores",
    "hessian_norm": "curvature",
    "batch_hessian_norms": "batch_scores",
    "example_hessian_norms": "example_scores",
    "example_gauss_newton_norms": "example_scores",
    "example_gradient_norms": "example_scores",
    "keep_highest": "pruning",
    "num_kept": "pruning",
    "optimal_design": "designs",
    "save_scores": "score_files",
    "load_scores": "score_files",
    "ScoreManifest": "score_files",
    "InputError": "checks",
}
__all__ = [*FACE]


def __getattr__(name: str) -> object:
    if name not in FACE:
        raise AttributeError(f"module 'liprune_utils' has no attribute {name!r}")
    return getattr(import_module(f"liprune_utils.{FACE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
