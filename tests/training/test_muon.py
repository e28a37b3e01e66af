"""Muon equals torch's own on matrices, treats kernels as matrices, and leaves to AdamW what it must."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from audiodiff.errors import ConfigError
from audiodiff.training.muon import Muon, orthogonalised
from audiodiff.training.run_sections import Optim
from audiodiff.training.schedule import make_optimisers, set_rate

LR, MOMENTUM, DECAY = 0.02, 0.95, 0.01


class Net(nn.Module):
    """A stem that stays with AdamW, an inner kernel and an inner matrix."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.stem = nn.Linear(4, 8)
        self.inner = nn.ModuleDict({"kernel": nn.Conv2d(8, 6, 3), "matrix": nn.Linear(6, 12)})
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)


@given(rows=st.integers(1, 24), columns=st.integers(1, 24), seed=st.integers(0, 99))
def test_singular_values_come_near_one_and_vectors_stay(rows: int, columns: int, seed: int) -> None:
    matrix = torch.randn(1, rows, columns, generator=torch.Generator().manual_seed(seed))
    u, s, vh = torch.linalg.svd(matrix[0], full_matrices=False)
    found = torch.diagonal(u.T @ orthogonalised(matrix, torch.float32)[0] @ vh.T)
    x = (s / s.norm()).double()
    for _ in range(5):  # what the iteration does to a singular value
        x = 3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5
    torch.testing.assert_close(found.double(), x, atol=1e-3, rtol=0)
    large = s > 0.05 * s.norm()
    assert found[large].min() > 0.6
    assert found.max() < 1.25


@pytest.mark.parametrize("shape", [(6, 6), (5, 12), (12, 5)])
def test_a_matrix_moves_as_with_torch(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(shape, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    muon = Muon([ours], LR, MOMENTUM, DECAY)
    muon.dtype = torch.bfloat16
    torchs = torch.optim.Muon([theirs], lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    for _ in range(5):
        ours.grad = torch.randn(shape, generator=generator)
        theirs.grad = ours.grad.clone()
        muon.step()
        torchs.step()  # type: ignore[no-untyped-call]
    # bfloat16 keeps 8 bits, and the two round in other places
    torch.testing.assert_close(ours, theirs, atol=5 * 0.02 * 2**-6, rtol=0)
    assert (ours - start).abs().max() > 0.02


def test_a_kernel_moves_as_its_matrix_in_any_memory_format() -> None:
    generator = torch.Generator().manual_seed(2)
    start, gradient = (torch.randn(6, 4, 3, 3, generator=generator) for _ in range(2))
    moved = []
    for values in (start, start.flatten(1), start.contiguous(memory_format=torch.channels_last)):
        parameter = nn.Parameter(values.clone(memory_format=torch.preserve_format))
        parameter.grad = gradient.reshape(values.shape)
        Muon([parameter], LR, MOMENTUM, DECAY).step()
        moved.append(parameter.detach().reshape(6, -1))
    torch.testing.assert_close(moved[0], moved[1])
    torch.testing.assert_close(moved[0], moved[2])


def test_two_matrices_of_one_shape_move_as_if_alone() -> None:
    generator = torch.Generator().manual_seed(3)
    values, gradients = torch.randn(2, 5, 7, generator=generator), torch.randn(2, 5, 7, generator=generator)
    together, alone = ([nn.Parameter(v.clone()) for v in values] for _ in range(2))
    for group in (together, alone):
        for parameter, gradient in zip(group, gradients, strict=True):
            parameter.grad = gradient.clone()
    Muon(together, LR, MOMENTUM, DECAY).step()
    for parameter in alone:
        Muon([parameter], LR, MOMENTUM, DECAY).step()
    for left, right in zip(together, alone, strict=True):
        torch.testing.assert_close(left, right)


def test_stems_and_what_is_no_matrix_stay_with_adamw() -> None:
    net = Net()
    config = Optim(kind="muon", steps=1, lr=1e-3, muon_lr=0.03, adamw_names=("stem",))
    adamw, muon = make_optimisers(net, config)
    assert isinstance(adamw, torch.optim.AdamW)
    assert isinstance(muon, Muon)
    inner = {id(p) for group in muon.param_groups for p in group["params"]}
    assert inner == {id(net.inner["kernel"].weight), id(net.inner["matrix"].weight)}
    others = {id(p) for group in adamw.param_groups for p in group["params"]}
    assert others | inner == {id(p) for p in net.parameters()}
    assert not others & inner
    set_rate((adamw, muon), 0.5)
    assert [group["lr"] for group in adamw.param_groups] == [5e-4, 5e-4]
    assert [group["lr"] for group in muon.param_groups] == [0.015]


def test_a_name_that_is_not_in_the_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="no 'stemm'"):
        make_optimisers(Net(), Optim(kind="muon", steps=1, lr=1e-3, adamw_names=("stemm",)))
