"""Images, training and scores on a GPU: as on a CPU, and the host never waits within an epoch."""

import io
from itertools import pairwise

import pytest
import torch
from draws import seeded
from synthetic import BATCHES, RUN, dataset, images
from torch.nn import functional

from liprune_utils.batch_scores import batch_hessian_norms
from liprune_utils.example_scores import example_hessian_norms
from liprune_utils.images import draw_shifts, make_images, shifted
from liprune_utils.training import (
    plan_epoch,
    record_gradient,
    start,
    steps,
    take_step,
    train_until,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def test_images_and_shifts_on_a_gpu_are_those_on_a_cpu():
    cpu, gpu = (make_images(dataset(), 12, 40, device=device) for device in ("cpu", "cuda"))
    shifts = torch.from_numpy(draw_shifts(12, seeded(2)))
    assert torch.equal(gpu.inputs.cpu(), cpu.inputs)
    assert torch.equal(shifted(gpu.inputs, shifts.cuda()).cpu(), shifted(cpu.inputs, shifts))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_epoch_on_a_gpu_is_about_that_on_a_cpu(precision):
    recipe = RUN.replace(precision=precision)
    cpu, gpu = (
        train_until(start(recipe, images(device)), images(device), BATCHES, recipe, 1)
        for device in ("cpu", "cuda")
    )
    assert gpu.train_losses == pytest.approx(cpu.train_losses, rel=0.01)
    for one, other in zip(gpu.model.parameters(), cpu.model.parameters(), strict=True):
        assert (one.cpu() - other).norm() < 0.03 * other.norm().clamp(min=1)


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_step_waits_for_the_gpu(precision, recorded):
    data, recipe = images("cuda"), RUN.replace(precision=precision)
    state, plan = start(recipe, data), plan_epoch(BATCHES, recipe, 1, data.inputs.device)
    graph = record_gradient(state, data, recipe) if recorded else None
    take_step(state, data, *plan[0], precision, graph)  # the first one sets the GPU up
    torch.cuda.set_sync_debug_mode("error")
    try:
        for indices, shifts in plan[1:]:
            take_step(state, data, indices, shifts, precision, graph)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert state.step == len(plan)


def test_recording_a_gradient_changes_no_state():
    data = images("cuda")
    state, other = start(RUN, data), start(RUN, data)
    state.loss_sum += 1
    record_gradient(state, data, RUN)
    assert all(
        map(torch.equal, state.model.state_dict().values(), other.model.state_dict().values())
    )
    assert state.loss_sum == 1
    assert not state.correct.any()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_recorded_gradients_are_those_of_their_batches(precision):
    """Steps with a recorded gradient between steps without, on whole batches and a smaller one."""
    data, recipe = images("cuda"), RUN.replace(precision=precision)
    plan = [*plan_epoch(BATCHES, recipe, 1, data.inputs.device)] * 2
    plan[1] = tuple(tensor[:3] for tensor in plan[1])
    states = start(recipe, data), start(recipe, data)
    graph = record_gradient(states[0], data, recipe)
    for number, (indices, shifts) in enumerate(plan):
        take_step(states[0], data, indices, shifts, precision, graph if number != 2 else None)
        take_step(states[1], data, indices, shifts, precision)
        gradients = [[p.grad for p in state.model.parameters()] for state in states]
        for one, other in zip(*gradients, strict=True):
            assert (one - other).norm() <= 0.02 * other.norm() + 1e-6
    assert states[0].loss_sum.item() == pytest.approx(states[1].loss_sum.item(), rel=0.01)
    for one, other in zip(*(state.model.buffers() for state in states), strict=True):
        assert torch.allclose(one, other, rtol=0.02, atol=0.01)


def test_scores_on_a_gpu_are_those_on_a_cpu():
    cpu, gpu = images(), images("cuda")
    networks = [start(RUN, data).model for data in (cpu, gpu)]
    pairs = [(network, d.inputs, d.labels) for network, d in zip(networks, (cpu, gpu), strict=True)]
    norms = [batch_hessian_norms(*pair, BATCHES, tolerance=1e-3).norm for pair in pairs]
    assert norms[1].to_numpy() == pytest.approx(norms[0].to_numpy(), rel=2e-3)
    loss = functional.cross_entropy
    norms = [example_hessian_norms(n, loss, *d, tolerance=1e-3).norm for n, *d in pairs]
    assert norms[1].to_numpy() == pytest.approx(norms[0].to_numpy(), rel=2e-3)


def test_scores_on_a_gpu_use_all_digits_of_float32():
    data, precisions = images("cuda"), torch.backends.cudnn.conv
    before = precisions.fp32_precision
    network, norms = start(RUN, data).model, []
    for precision in ("tf32", "ieee"):
        precisions.fp32_precision = precision
        norms.append(batch_hessian_norms(network, data.inputs, data.labels, BATCHES).norm)
        assert precisions.fp32_precision == precision
    precisions.fp32_precision = before
    assert all((one - other).abs().max() < 1e-5 * one.max() for one, other in pairwise(norms))


def test_a_run_moves_from_a_gpu_to_a_cpu_between_two_steps():
    gpu, cpu = images("cuda"), images()
    state = start(RUN, gpu)
    next(steps(state, gpu, BATCHES, RUN, 1))
    again = start(RUN, cpu)
    stream = io.BytesIO()
    torch.save(state.to_dict(), stream)
    stream.seek(0)
    again.load_dict(torch.load(stream, weights_only=True, map_location="cpu"))
    train_until(again, cpu, BATCHES, RUN, 1)
    train_until(state, gpu, BATCHES, RUN, 1)
    assert again.train_losses == pytest.approx(state.train_losses, rel=0.01)
