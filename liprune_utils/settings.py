"""The settings of a training run, every choice by name: how it trains, and what it keeps."""

from dataclasses import dataclass, fields, replace

from liprune_utils.checks import check_types, require
from liprune_utils.scores import SCORES

DEEPEST = 1202  # of He et al. (arXiv 1512.03385)
NUM_SEEDS = 2**63  # that torch takes
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """Every choice that decides how a network is trained.

    Attributes:
        depth: ResNet depth, 6n + 2; the paper has 14 and 20.
        learning_rate: Of SGD before its decay; the paper has 0.01 and 0.1.
        decay_epochs: At the start of each the rate is divided by 10; the paper has 80 and 120.
        num_epochs: Passes over the kept batches; the paper has 164.
        num_images: Training images; the paper has all.
        num_test_images: Test images; the paper has all.
        batch_size: Images in each fixed batch; the paper has 128.
        momentum: Of SGD, in [0, 1); not in the paper, 0.9 is He et al.'s (arXiv 1512.03385).
        weight_decay: Of SGD; not in the paper, 0.0001 is He et al.'s.
        augment: Whether to crop and flip; not in the paper, He et al. do.
        precision: "float32", or "bfloat16" for automatic mixed precision; not in the paper.
        seed: The repetition: its images and test images, batches, initialisation, order and
            augmentation.
    """

    depth: int = 14
    learning_rate: float = 0.01
    decay_epochs: tuple[int, ...] = (80, 120)
    num_epochs: int = 164
    num_images: int = 50_000
    num_test_images: int = 10_000
    batch_size: int = 128
    momentum: float = 0.9
    weight_decay: float = 1e-4
    augment: bool = True
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.decay_epochs, list):
            object.__setattr__(self, "decay_epochs", tuple(self.decay_epochs))
        check_types(self)
        self.check()
        for field in fields(self):  # equal recipes look the same in JSON, and so share a folder
            if field.type is float:
                object.__setattr__(self, field.name, float(getattr(self, field.name)))

    def check(self) -> None:
        """Check the ranges."""
        known = 2 < self.depth <= DEEPEST and self.depth % 6 == 2
        require(known, "depth", self.depth, f"6n + 2, such as 14 or 20, up to {DEEPEST}")
        rate = self.learning_rate
        require(0 < rate <= 1, "learning_rate", rate, "a step size in (0, 1]")
        for epoch in self.decay_epochs:
            require(epoch >= 1, "decay_epochs", epoch, "epochs from 1")
        once = len(set(self.decay_epochs)) == len(self.decay_epochs)
        require(once, "decay_epochs", list(self.decay_epochs), "each epoch once")
        require(0 <= self.num_epochs <= 10_000, "num_epochs", self.num_epochs, "from 0 to 10000")
        size, images = self.batch_size, self.num_images
        require(2 <= images <= 50_000, "num_images", images, "from 2 to 50000")
        require(2 <= size <= images, "batch_size", size, f"from 2 to num_images, {images}")
        more = f"a number that does not leave a last batch of one beside batches of {size}"
        require(images % size != 1, "num_images", images, more)
        tests = self.num_test_images
        require(1 <= tests <= 10_000, "num_test_images", tests, "from 1 to 10000")
        require(0 <= self.momentum < 1, "momentum", self.momentum, "a number in [0, 1)")
        require(0 <= self.weight_decay <= 1, "weight_decay", self.weight_decay, "from 0 to 1")
        require(self.precision in PRECISIONS, "precision", self.precision, f"one of {PRECISIONS}")
        require(0 <= self.seed < NUM_SEEDS, "seed", self.seed, "from 0 to 2^63 - 1")

    def rate(self, epoch: int) -> float:
        """Divide the learning rate by 10 for each decay epoch that has begun.

        Args:
            epoch: The epoch, from 1.

        Returns:
            The rate of that epoch.
        """
        return self.learning_rate / 10 ** sum(decay <= epoch for decay in self.decay_epochs)


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
