"""Small networks of the kinds that users have, and which scores each of them has."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from networks import draw, seeded
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint
from torchvision.models import ShuffleNetV2, VisionTransformer

NUM_CLASSES = 3
COUNT = 4  # examples
VMAP = r"^torch\.func\.vmap cannot run this model or loss for each example .*batch_norm='eval'\)\.$"
RANDOM = r"Two passes over the same inputs give different outputs; expected the same"
BESIDE = "^An example's outputs depend on the examples beside it; expected the same alone"
OF_EXAMPLES = ("hessian", "gauss-newton", "grand", "el2n", "loss", "margin")
SCORES = ("hessian-batch", *OF_EXAMPLES, "leverage")
VMAPPED = ("hessian", "gauss-newton", "grand")


class Net(nn.Module):
    """Modules, and a forward pass that uses them."""

    def __init__(self, run: Callable[..., Tensor], **members: object):
        super().__init__()
        self.run = run
        for name, member in members.items():
            setattr(self, name, member)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


@dataclass(frozen=True)
class Member:
    """A network, its inputs, and which scores it has: ``refused`` says why not, by name."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...] = (4,)
    refused: dict[str, str] = field(default_factory=dict)
    dtype: torch.dtype = torch.float64
    tokens: bool = False

    def model(self) -> nn.Module:
        """A new network, the same every time, in train mode."""
        with torch.random.fork_rng():
            torch.manual_seed(1)
            model = self.make().to(self.dtype)
            for buffer in model.buffers():  # running statistics unlike those of a new network
                if buffer.is_floating_point():
                    buffer.add_(0.1)
        return model.train()

    def data(self) -> tuple[Tensor, Tensor]:
        labels = torch.arange(COUNT) % NUM_CLASSES
        if self.tokens:
            return torch.randint(0, 5, (COUNT, *self.shape), generator=seeded(2)), labels
        return draw(COUNT, *self.shape, seed=2).to(self.dtype), labels


def each(names: tuple[str, ...], why: str) -> dict[str, str]:
    return dict.fromkeys(names, why)


def mlp(*between: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5), *between, nn.Linear(5, NUM_CLASSES))


def convolutional(*between: nn.Module) -> nn.Sequential:
    last = nn.Flatten(), nn.Linear(12, NUM_CLASSES)
    return nn.Sequential(nn.Conv2d(2, 3, 2), *between, nn.Tanh(), *last)


def shared() -> nn.Module:
    block = nn.Linear(4, 4)
    return nn.Sequential(block, nn.Tanh(), block, nn.Tanh(), nn.Linear(4, NUM_CLASSES))


def aliased() -> nn.Module:
    block = nn.Linear(4, 4)
    run = lambda m, x: m.last(m.second(m.first(x).tanh()).tanh())  # noqa: E731
    return Net(run, first=block, second=block, last=nn.Linear(4, NUM_CLASSES))


def shared_norm() -> nn.Module:
    norm = nn.BatchNorm1d(4)
    layers = nn.Linear(4, 4), norm, nn.Tanh(), nn.Linear(4, 4), norm
    return nn.Sequential(*layers, nn.Tanh(), nn.Linear(4, NUM_CLASSES))


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, NUM_CLASSES))
    model[2].weight = model[0].weight
    return model


def tied_embedding() -> nn.Module:
    model = Net(lambda m, x: m.last(m.words(x).mean(1).tanh()), words=nn.Embedding(5, 4))
    model.last = nn.Linear(4, 5)
    model.last.weight = model.words.weight
    return model


def frozen() -> nn.Module:
    model = mlp(nn.Tanh())
    model[0].weight.requires_grad_(False)
    return model


def unused() -> nn.Module:
    model = Net(lambda m, x: m.net(x), net=mlp(nn.Tanh()), never=nn.Linear(2, 2))
    model.alone = nn.Parameter(torch.ones(2))
    return model


def attention() -> nn.Module:
    def run(m: nn.Module, x: Tensor) -> Tensor:
        h = m.first(x)
        return m.last(functional.scaled_dot_product_attention(h, h, h).mean(1))

    return Net(run, first=nn.Linear(4, 4), last=nn.Linear(4, NUM_CLASSES))


def multihead(need_weights: bool) -> nn.Module:
    def run(m: nn.Module, x: Tensor) -> Tensor:
        return m.last(m.attend(x, x, x, need_weights=need_weights)[0].mean(1))

    attend = nn.MultiheadAttention(4, 2, dropout=0.1, batch_first=True)
    return Net(run, attend=attend, last=nn.Linear(4, NUM_CLASSES))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 4, activation="gelu", batch_first=True)
    first = nn.TransformerEncoder(layer, 1)
    return Net(lambda m, x: m.last(m.first(x)[:, 0]), first=first, last=nn.Linear(4, NUM_CLASSES))


def vit() -> nn.Module:
    def run(m: nn.Module, x: Tensor) -> Tensor:
        patches = m.patches(x).flatten(2).mT
        h = torch.cat([m.token.expand(len(x), -1, -1), patches], dim=1) + m.position
        h = h + m.attend(*[m.norm(h)] * 3, need_weights=False)[0]
        return m.last(h[:, 0])

    model = Net(run, patches=nn.Conv2d(2, 4, 2, stride=2), norm=nn.LayerNorm(4))
    model.token = nn.Parameter(torch.randn(1, 1, 4))
    model.position = nn.Parameter(torch.randn(1, 5, 4))
    model.attend = nn.MultiheadAttention(4, 2, batch_first=True)
    model.last = nn.Linear(4, NUM_CLASSES)
    return model


def torchvision_vit() -> nn.Module:
    model = VisionTransformer(
        image_size=4, patch_size=2, num_layers=1, num_heads=2, hidden_dim=4, mlp_dim=4,
        num_classes=NUM_CLASSES,
    )  # fmt: skip
    nn.init.normal_(model.heads.head.weight)
    return model


def recurrent(kind: type[nn.Module]) -> nn.Module:
    first = kind(4, 3, batch_first=True)
    return Net(lambda m, x: m.last(m.first(x)[0][:, -1]), first=first, last=nn.Linear(3, 3))


def cells() -> nn.Module:
    """A recurrent network by hand, which vmap can run."""

    def run(m: nn.Module, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), 3)
        for t in range(x.shape[1]):
            h = (m.first(x[:, t]) + m.again(h)).tanh()
        return m.last(h)

    return Net(run, first=nn.Linear(4, 3), again=nn.Linear(3, 3), last=nn.Linear(3, 3))


def strided() -> nn.Module:
    model = mlp(nn.Tanh())
    model[0].weight = nn.Parameter(torch.randn(4, 5).T)
    model[2].bias = nn.Parameter(torch.randn(6)[::2])
    return model


def in_lists() -> nn.Module:
    def run(m: nn.Module, x: Tensor) -> Tensor:
        return (x @ m.weights[0]).tanh() @ m.named["last"] + m.constants[0]

    model = Net(run, weights=nn.ParameterList([torch.randn(4, 4)]))
    model.named = nn.ParameterDict({"last": torch.randn(4, NUM_CLASSES)})
    model.constants = [torch.randn(NUM_CLASSES).double()]
    return model


def remembering() -> nn.Module:
    """Keeps what it saw, in every way that leaves the outputs alone."""

    def run(m: nn.Module, x: Tensor) -> Tensor:
        m.calls += 1
        m.seen += len(x)
        m.last_seen = x
        m.log.append(x.shape)
        m.tallies["calls"] = m.tallies.get("calls", 0) + 1
        return m.net(x)

    model = Net(run, net=mlp(nn.Tanh()), calls=0, log=[], tallies={}, seen=torch.zeros(()))
    model.register_buffer("averages", torch.zeros(2))
    return model


def hooked() -> nn.Module:
    """Hooks that change outputs are part of the network; those of a gradient are of training."""
    model = mlp(nn.Tanh())
    model[1].register_forward_hook(lambda *call: 2 * call[-1])
    model[0].weight.register_hook(lambda g: g.clamp(-1e-3, 1e-3))
    return model


def noisy(draw_noise: Callable[[nn.Module, Tensor], Tensor]) -> nn.Module:
    return Net(lambda m, x: m.net(x) + draw_noise(m, x), net=mlp(nn.Tanh()))


def own_noise() -> nn.Module:
    model = noisy(lambda m, x: torch.rand((), generator=m.generator).to(x))
    model.generator = torch.Generator()
    return model


def counting() -> nn.Module:
    def run(m: nn.Module, x: Tensor) -> Tensor:
        m.calls += 1
        return m.net(x) * m.calls

    return Net(run, net=mlp(nn.Tanh()), calls=0)


def harmless_noise() -> nn.Module:
    """Draws random numbers that its outputs do not depend on."""

    def run(m: nn.Module, x: Tensor) -> Tensor:
        torch.rand(3), np.random.rand(), random.random()  # noqa: NPY002
        return m.net(x)

    return Net(run, net=mlp(nn.Tanh()))


def checkpointed() -> nn.Module:
    run = lambda m, x: m.last(checkpoint(m.first, x, use_reentrant=False).tanh())  # noqa: E731
    return Net(run, first=nn.Linear(4, 4), last=nn.Linear(4, NUM_CLASSES))


def embedding(**options: object) -> nn.Module:
    words, last = nn.Embedding(5, 3, **options), nn.Linear(3, NUM_CLASSES)
    return Net(lambda m, x: m.last(m.words(x).mean(1).tanh()), words=words, last=last)


def several(outputs: Callable[[Tensor], object]) -> nn.Module:
    return Net(lambda m, x: outputs(m.net(x)), net=mlp(nn.Tanh()))


def clipped() -> nn.Module:
    """Changes its own weights in a forward pass."""

    def run(m: nn.Module, x: Tensor) -> Tensor:
        m.net[0].weight.data.clamp_(-0.1, 0.1)
        return m.net(x)

    return Net(run, net=mlp(nn.Tanh()))


def plain(*layers: Callable[[], nn.Module], around: Callable = mlp) -> Callable[[], nn.Module]:
    return lambda: around(*[layer() for layer in layers])


IMAGE = (2, 3, 3)
image = partial(plain, around=convolutional)
NO_TUPLE = each(SCORES, r"The model's output is '(tuple|dict)'; expected one torch\.Tensor\.$") | {
    "leverage": r"^What gives the model's outputs is 'no linear layer'; expected an nn\.Linear"
}
NO_LAST = {"leverage": r"^What gives the model's outputs is 'no linear layer'; expected an nn\.Lin"}
NO_NOISE = each(SCORES, RANDOM) | NO_LAST
NO_STATISTICS = each(
    (*OF_EXAMPLES, "leverage"), r"^A batch norm's running_mean is None; expected statistics"
)
ZOO = {
    "linear": Member(lambda: nn.Linear(4, NUM_CLASSES)),
    "perceptron": Member(plain(nn.Tanh)),
    "deep linear": Member(lambda: mlp()),
    "inplace first": Member(lambda: nn.Sequential(nn.Softplus(), nn.ELU(inplace=True), mlp())),
    "inplace on the inputs": Member(lambda: nn.Sequential(nn.ELU(inplace=True), mlp(nn.Tanh()))),
    "inplace between": Member(plain(lambda: nn.ELU(inplace=True))),
    "shared module": Member(shared),
    "aliased module": Member(aliased),
    "shared batch norm": Member(shared_norm),
    "tied weights": Member(tied),
    "tied embedding": Member(tied_embedding, (6,), tokens=True),
    "frozen weights": Member(frozen),
    "unused weights": Member(unused),
    "attention": Member(attention, (3, 4)),
    "multihead attention": Member(partial(multihead, True), (3, 4)),
    "multihead attention, fused": Member(partial(multihead, False), (3, 4)),
    "transformer encoder": Member(encoder, (3, 4)),
    "ViT": Member(vit, (2, 4, 4)),
    "ViT of torchvision": Member(torchvision_vit, (3, 4, 4)),
    "ShuffleNet of torchvision": Member(
        lambda: ShuffleNetV2([1, 1, 1], [4, 4, 8, 8, 8], num_classes=NUM_CLASSES), (3, 32, 32)
    ),
    "GRU": Member(partial(recurrent, nn.GRU), (3, 4), each(VMAPPED, VMAP)),
    "LSTM": Member(partial(recurrent, nn.LSTM), (3, 4), each(VMAPPED, VMAP)),
    "LSTM, float32": Member(
        partial(recurrent, nn.LSTM), (3, 4), each(VMAPPED, VMAP), dtype=torch.float32
    ),
    "recurrent by hand": Member(cells, (3, 4)),
    "batch norm": Member(image(lambda: nn.BatchNorm2d(3)), IMAGE),
    "batch norm without statistics": Member(
        image(lambda: nn.BatchNorm2d(3, track_running_stats=False)), IMAGE, NO_STATISTICS
    ),
    "batch norm without weights": Member(plain(lambda: nn.BatchNorm1d(5, affine=False), nn.Tanh)),
    "group norm": Member(image(lambda: nn.GroupNorm(3, 3)), IMAGE),
    "instance norm": Member(image(lambda: nn.InstanceNorm2d(3, affine=True)), IMAGE),
    "instance norm with statistics": Member(
        image(lambda: nn.InstanceNorm2d(3, track_running_stats=True)), IMAGE
    ),
    "layer norm": Member(plain(lambda: nn.LayerNorm(5), nn.GELU)),
    "weight norm, old": Member(lambda: nn.Sequential(weight_norm(nn.Linear(4, 4)), mlp(nn.Tanh()))),
    "weight norm": Member(
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), mlp(nn.Tanh()))
    ),
    "spectral norm, old": Member(
        lambda: nn.Sequential(spectral_norm(nn.Linear(4, 4)), mlp(nn.Tanh()))
    ),
    "spectral norm": Member(
        lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 4)), mlp(nn.Tanh()))
    ),
    "dropout": Member(plain(nn.Tanh, nn.Dropout)),
    "dropout of channels": Member(image(nn.Dropout2d), IMAGE),
    "dropout that is always on": Member(
        lambda: Net(
            lambda m, x: m.last(functional.dropout(m.first(x), 0.5)),
            first=nn.Linear(4, 4),
            last=nn.Linear(4, NUM_CLASSES),
        ),
        refused=each(SCORES, RANDOM),
    ),
    "noise of torch": Member(lambda: noisy(lambda m, x: torch.randn(3).to(x)), refused=NO_NOISE),
    "noise of numpy": Member(
        lambda: noisy(lambda m, x: np.random.rand()),  # noqa: NPY002
        refused=NO_NOISE,
    ),
    "noise of Python": Member(lambda: noisy(lambda m, x: random.random()), refused=NO_NOISE),
    "noise of its own": Member(own_noise, refused=NO_NOISE),
    "a count of calls": Member(counting, refused=NO_NOISE),
    "noise without effect": Member(harmless_noise, refused=each(VMAPPED, "random numbers")),
    "embedding": Member(embedding, (6,), tokens=True),
    "embedding with padding": Member(partial(embedding, padding_idx=0), (6,), tokens=True),
    "embedding with a largest norm": Member(
        partial(embedding, max_norm=0.5), (6,), each(SCORES, r"^Embedding\.max_norm is 0\.5"),
        tokens=True,
    ),
    "embedding bag": Member(
        lambda: Net(lambda m, x: m.last(m.words(x).tanh()), words=nn.EmbeddingBag(5, 3),
                    last=nn.Linear(3, NUM_CLASSES)),
        (6,), each(("hessian-batch", "hessian"), "The model or the loss cannot be differentiated "
                   r"twice by torch \(the derivative for '_embedding_bag_backward'"),
        tokens=True,
    ),
    "sparse embedding": Member(
        partial(embedding, sparse=True), (6,), each(SCORES, r"^Embedding\.sparse is True"),
        tokens=True,
    ),
    "tuple as output": Member(lambda: several(lambda z: (z, z)), refused=NO_TUPLE),
    "dictionary as output": Member(lambda: several(lambda z: {"z": z}), refused=NO_TUPLE),
    "float32": Member(plain(nn.Tanh), dtype=torch.float32),
    "channels last": Member(
        lambda: convolutional().to(memory_format=torch.channels_last), IMAGE
    ),
    "strided weights": Member(strided),
    "weights in lists": Member(in_lists, refused=NO_LAST),
    "remembers": Member(remembering),
    "hooks": Member(hooked),
    "checkpoints": Member(checkpointed, refused=each(VMAPPED, VMAP)),
    "changes its weights": Member(
        clipped, refused=each(SCORES, r"^The number of parameters that a forward pass changes is")
    ),
    "centres its batch": Member(
        lambda: Net(lambda m, x: m.net(x - x.mean(0)), net=mlp(nn.Tanh())),
        refused=each((*OF_EXAMPLES, "leverage"), BESIDE),
    ),
}  # fmt: skip
