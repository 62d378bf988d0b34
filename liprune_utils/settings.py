"""The settings of a training run, every choice by name: how it trains, and what it keeps."""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from liprune_utils.checks import Checked, require
from liprune_utils.scores import SCORES

ENGINE = 2  # raised when equal settings give another result, so that no old run is taken for new
BATCH_METHODS = ("none", "random", "liprune")  # these keep batches
EXAMPLE_METHODS = (
    *(name for name in SCORES if name not in ("hessian-batch", "random")),
    "random-examples", "design",
)  # fmt: skip
METHODS = BATCH_METHODS + EXAMPLE_METHODS
HESSIAN_METHODS = ("liprune", "hessian")  # their scores have a tolerance
DEEPEST = 1202  # ResNet of He et al. (arXiv 1512.03385)


class Recipe(Checked):
    """Every choice that decides how a network is trained.

    Attributes:
        depth: ResNet depth, 6n + 2; the paper has 14 and 20.
        learning_rate: Of SGD before its decay; the paper has 0.01 and 0.1.
        decay_epochs: At the start of each the rate is divided by 10; the paper has 80 and 120.
        num_epochs: Passes over the kept batches; the paper has 164.
        num_images: Training images; the paper has all.
        num_test_images: Test images; the paper has all.
        batch_size: Images in each fixed batch; the paper has 128.
        momentum: Of SGD; not in the paper, 0.9 is He et al.'s (arXiv 1512.03385).
        weight_decay: Of SGD; not in the paper, 0.0001 is He et al.'s.
        augment: Whether to crop and flip; not in the paper, He et al. do.
        precision: "float32", or "bfloat16" for automatic mixed precision; not in the paper.
        seed: The repetition: images, test images, batches, initialisation, order, augmentation.
    """

    depth: int = Field(
        14, gt=2, le=DEEPEST, description=f"6n + 2, such as 14 or 20, up to {DEEPEST}"
    )
    learning_rate: float = Field(0.01, gt=0, le=1, description="a step size in (0, 1]")
    # Not strict: YAML and JSON have lists.
    decay_epochs: tuple[Annotated[int, Field(ge=1)], ...] = Field((80, 120), strict=False)
    num_epochs: int = Field(164, ge=0, le=10_000)
    num_images: int = Field(50_000, ge=2, le=50_000)
    num_test_images: int = Field(10_000, ge=1, le=10_000)
    batch_size: int = Field(128, ge=2)
    momentum: float = Field(0.9, ge=0, lt=1, description="a number in [0, 1)")
    weight_decay: float = Field(1e-4, ge=0, le=1)
    augment: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = Field(0, ge=0, lt=2**63, description="a whole number from 0 to 2^63 - 1")

    @model_validator(mode="after")
    def _check_recipe(self) -> Self:
        known = type(self).model_fields["depth"].description
        require(self.depth % 6 == 2, "depth", self.depth, known)
        once = len(set(self.decay_epochs)) == len(self.decay_epochs)
        require(once, "decay_epochs", list(self.decay_epochs), "each epoch once")
        size, images = self.batch_size, self.num_images
        require(size <= images, "batch_size", size, f"from 2 to num_images, {images}")
        more = f"a number that does not leave a last batch of one beside batches of {size}"
        require(images % size != 1, "num_images", images, more)
        return self

    def rate(self, epoch: int) -> float:
        """Return the rate of an epoch, from 1: a tenth for each decay epoch that has begun."""
        return self.learning_rate / 10 ** sum(decay <= epoch for decay in self.decay_epochs)


class TrainingRun(Recipe):
    """All choices of one training run: a recipe, and what is kept from which epoch on.

    Attributes:
        method: "none"; "random" or "liprune" (the largest Hessian norms) for batches; or for single
            examples, whose kept images are cut into new batches, a score of
            `liprune_utils.scores.score`, "random-examples", or "design" (the V-optimal design of
            last-layer features, by `liprune_utils.designs.optimal_design`).
        keep_fraction: Fraction of the batches or examples kept.
        prune_epoch: Prune at the start of this epoch; 1 is initialisation. The paper has 1 and 5.
        batch_norm: Mode of batch norm in "liprune"; not in the paper.
        tolerance: Relative accuracy of a Hessian norm, for "liprune" of those near the threshold.
            Methods without Hessian norms have the default, so that runs which differ in nothing
            that matters are one.
    """

    method: Literal[METHODS] = Field("none", description=f"one of {', '.join(METHODS)}")
    keep_fraction: float = Field(1.0, gt=0, le=1, description="a fraction in (0, 1]")
    prune_epoch: int = Field(1, ge=1)
    batch_norm: Literal["train", "eval"] = "train"
    tolerance: float = Field(0.01, gt=0, lt=1, description="a number in (0, 1)")

    @field_validator("batch_norm", "tolerance")
    @classmethod
    def _default_without_norms(cls, value: object, info: ValidationInfo) -> object:
        matters = info.data.get("method") in HESSIAN_METHODS
        return value if matters else cls.model_fields[info.field_name].default

    @model_validator(mode="after")
    def _check_pruning(self) -> Self:
        kept, last = (self.keep_fraction, self.prune_epoch), max(self.num_epochs, 1)
        unpruned = self.method != "none" or kept == (1, 1)
        require(unpruned, "keep_fraction, prune_epoch", kept, "(1.0, 1) where the method is none")
        epoch = self.prune_epoch
        require(epoch <= last, "prune_epoch", epoch, f"an epoch from 1 to num_epochs, {last}")
        learnt = self.method != "forgetting" or epoch > 1
        require(learnt, "prune_epoch", epoch, "an epoch from 2 on where the method is forgetting")
        return self

    @property
    def label(self) -> str:
        """A name for people, such as "resnet14-liprune-keep0.2-prune1-rate0.01-seed0"."""
        kept = (
            "" if self.method == "none" else f"-keep{self.keep_fraction:g}-prune{self.prune_epoch}"
        )
        return f"resnet{self.depth}-{self.method}{kept}-rate{self.learning_rate:g}-seed{self.seed}"

    def before_pruning(self) -> Self:
        """Describe the run that ends where this one prunes: one for all methods and fractions."""
        return self.replace(
            method="none", keep_fraction=1.0, prune_epoch=1, num_epochs=self.prune_epoch - 1
        )
