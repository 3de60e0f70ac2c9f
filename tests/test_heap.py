"""Memory that an explanation frees stays with the process until it is done, and then goes back."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from shapsight import PartitionShap
from shapsight.attribution.shared import game, heap

needs_glibc = pytest.mark.skipif(sys.platform != "linux", reason="malloc is set up on Linux only")

CHURN = """
import ctypes, resource, torch
from shapsight.attribution.shared.heap import keep_freed_memory, keeping_freed_memory
from contextlib import nullcontext

keep_freed_memory()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(30):
        blocks = [torch.ones(4 << 20, dtype=torch.uint8) for _ in range(40)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
ctypes.CDLL(None).mallopt(-3, 65536)  # larger blocks come and go with their pages
with keeping_freed_memory():
    faults()
    print(faults())
"""


@needs_glibc
def test_pages_are_not_given_back_while_a_computation_runs() -> None:
    plain = CHURN.replace("with keeping_freed_memory()", "with nullcontext()")
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for code in (CHURN, plain)
    )
    assert given_back > 30 * 10000  # 160 MB are 40,000 pages
    assert kept < given_back / 20


@needs_glibc
def test_inside_one_another_the_last_one_out_sets_malloc_back(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(heap, "_mallopt", lambda: lambda *setting: calls.append(setting) or 1)
    monkeypatch.setattr(heap._Use, "is_wanted", True)
    with heap.keeping_freed_memory():
        with pytest.raises(ValueError, match="broken"), heap.keeping_freed_memory():
            raise ValueError("broken")
        assert (heap.TRIM_THRESHOLD, heap.LEFT_AT_THE_TOP) not in calls  # the outer one is still at work
    assert calls[-1] == (heap.TRIM_THRESHOLD, heap.LEFT_AT_THE_TOP)
    calls.clear()
    with heap.keeping_freed_memory():
        pass
    assert calls[-1] == (heap.TRIM_THRESHOLD, heap.LEFT_AT_THE_TOP)


def test_malloc_is_left_alone_unless_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(heap, "_mallopt", lambda: lambda *setting: calls.append(setting) or 1)
    monkeypatch.setattr(heap._Use, "is_wanted", False)
    with heap.keeping_freed_memory():
        assert torch.ones(3).sum() == 3
    assert not calls
    monkeypatch.setattr(heap._Use, "is_wanted", True)
    with heap.keeping_freed_memory():
        pass
    assert calls


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_mallopt", lambda: None)
    monkeypatch.setattr(heap._Use, "is_wanted", True)
    with heap.keeping_freed_memory():
        assert torch.ones(3).sum() == 3


FRAGMENTS = """
import torch
from shapsight.attribution.shared.heap import give_back_unused, keep_freed_memory, keeping_freed_memory

keep_freed_memory()

def resident():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmRSS")) / 1024

torch.set_num_threads(1)
before = resident()
with keeping_freed_memory():
    blocks = [torch.ones(8 << 20, dtype=torch.uint8) for _ in range(200)]
    pin = [torch.ones(1 << 10) for _ in range(1000)]  # lies on top of them, and stays
    del blocks
    inside = resident()
    if MEANWHILE:
        give_back_unused()
        print(inside - before, resident() - before, len(pin))
if not MEANWHILE:
    print(inside - before, resident() - before, len(pin))
"""


@needs_glibc
@pytest.mark.parametrize("meanwhile", [True, False])
def test_what_lies_unused_below_a_block_in_use_goes_back_meanwhile_and_at_the_end(meanwhile: bool) -> None:
    code = FRAGMENTS.replace("MEANWHILE", str(meanwhile))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    inside, after, _ = map(float, result.stdout.split())
    assert inside > 1500
    assert after < 400


def test_asking_a_model_gives_back_what_lies_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(game, "give_back_unused", lambda: calls.append(1))
    PartitionShap(lambda images: images.mean((1, 2, 3)), 0.0, max_evals=40, batch_size=4)(torch.rand(3, 8, 8))
    assert len(calls) > 10
