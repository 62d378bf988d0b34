"""Points of a grid: each says everything that decides one run of the paper's experiment."""

from dataclasses import dataclass, replace

from liprune_utils.parameters import require
from liprune_utils.recipes import Recipe
from liprune_utils.scores import SCORES

ENGINE = 2  # raised when the same point gives another result, so that no old run is taken for new
BATCH_METHODS = ("none", "random", "liprune")  # what is kept are batches
HESSIAN_METHODS = ("liprune", "hessian")  # to a tolerance
EXAMPLE_METHODS = tuple(name for name in SCORES if name not in ("hessian-batch", "random"))


@dataclass(frozen=True)
class Point(Recipe):
    """One run: a recipe, and what is kept from which epoch on.

    Attributes:
        method: "none"; "random" or "liprune" (the largest Hessian norms) for batches; or a score of
            single examples, as in `liprune_utils.scores.score`, whose kept images are cut into new
            batches.
        keep_fraction: Fraction of the batches or examples kept, in (0, 1].
        prune_epoch: Prune at the start of this epoch; 1 is initialisation. The paper has 1 and 5.
        batch_norm: Mode of batch norm in "liprune": "train" or "eval"; not in the paper.
        tolerance: Relative accuracy of a Hessian norm, in (0, 1), for "liprune" of those near the
            threshold; other methods ignore it.
    """

    method: str = "none"
    keep_fraction: float = 1.0
    prune_epoch: int = 1
    batch_norm: str = "train"
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in HESSIAN_METHODS:  # points that differ in nothing that matters are one
            object.__setattr__(self, "tolerance", Point.tolerance)
            object.__setattr__(self, "batch_norm", Point.batch_norm)

    def check(self) -> None:
        """Check the ranges; without pruning the fraction and the epoch must be 1."""
        super().check()
        methods = BATCH_METHODS + EXAMPLE_METHODS
        require(self.method in methods, "method", self.method, f"one of {', '.join(methods)}")
        fraction = self.keep_fraction
        require(0 < fraction <= 1, "keep_fraction", fraction, "a fraction in (0, 1]")
        whole = self.method != "none" or (fraction == 1 and self.prune_epoch == 1)
        kept = fraction, self.prune_epoch
        require(whole, "keep_fraction, prune_epoch", kept, "(1.0, 1) where the method is none")
        epoch, last = self.prune_epoch, max(self.num_epochs, 1)
        require(1 <= epoch <= last, "prune_epoch", epoch, f"an epoch from 1 to num_epochs, {last}")
        known = self.method != "forgetting" or epoch > 1
        require(known, "prune_epoch", epoch, "an epoch from 2 on where the method is forgetting")
        known = self.batch_norm in ("train", "eval")
        require(known, "batch_norm", self.batch_norm, "'train' or 'eval'")
        require(0 < self.tolerance < 1, "tolerance", self.tolerance, "a number in (0, 1)")

    @property
    def label(self) -> str:
        """A name for people, such as "resnet14-liprune-keep0.2-prune1-rate0.01-seed0"."""
        kept = (
            "" if self.method == "none" else f"-keep{self.keep_fraction:g}-prune{self.prune_epoch}"
        )
        return f"resnet{self.depth}-{self.method}{kept}-rate{self.learning_rate:g}-seed{self.seed}"

    def before_pruning(self) -> "Point":
        """Describe the run that ends where this one prunes.

        Returns:
            A point without pruning, the same for all methods and fractions.
        """
        return replace(
            self, method="none", keep_fraction=1.0, prune_epoch=1, num_epochs=self.prune_epoch - 1
        )
