"""What torch's flash attention gives of rows of any lengths, computed on a CPU, which has none.

Shape letters: T tokens, N heads, D width of a head, Q and K tokens of a segment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def scores(q_QND, k_KND, scale):
    return torch.einsum("qnd,knd->nqk", q_QND, k_KND).mul(scale).softmax(-1)


def segments(bounds, *tensors):
    """The tensors of each segment, in fp32 or better."""
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        yield [x[start:end].to(torch.promote_types(x.dtype, torch.float32)) for x in tensors]


@torch.autocast("cpu", enabled=False)
def forward(q, k, v, cum_q, cum_k, max_q, max_k, dropout_p, is_causal, debug, *, scale, **more):
    assert torch.equal(cum_q, cum_k)
    assert cum_q.dtype == torch.int32
    assert cum_q[0] == 0
    assert cum_q[-1] == len(q)
    assert 0 <= int(cum_q.diff().min()) <= int(cum_q.diff().max()) <= max_q == max_k
    assert q.shape[-1] % 8 == 0
    assert all(x.stride(-1) == 1 for x in (q, k, v))
    assert (dropout_p, is_causal, debug) == (0.0, False, False)
    assert not any(value is not None for value in more.values())
    out = [
        torch.einsum("nqk,knd->qnd", scores(own_q, own_k, scale), own_v)
        for own_q, own_k, own_v in segments(cum_q, q, k, v)
    ]
    lse = torch.zeros(q.shape[1], len(q))
    unused = torch.zeros((), dtype=torch.uint64)
    return torch.cat(out).to(q.dtype), lse, unused.expand(2).clone(), unused, q.new_zeros(0)


@torch.autocast("cpu", enabled=False)
def backward(grad, q, k, v, out, lse, cum_q, *rest, scale, **more):
    del out, lse, rest, more
    parts = []
    for own_q, own_k, own_v, own in segments(cum_q, q, k, v, grad):
        p = scores(own_q, own_k, scale)
        dp = torch.einsum("qnd,knd->nqk", own, own_v)
        ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * scale
        dq = torch.einsum("nqk,knd->qnd", ds, own_k)
        dk = torch.einsum("nqk,qnd->knd", ds, own_q)
        parts.append((dq, dk, torch.einsum("nqk,qnd->knd", p, own)))
    return tuple(torch.cat(each).to(q.dtype) for each in zip(*parts, strict=True))


@contextmanager
def flash_on_cpu() -> Iterator[None]:
    """Within the block torch has the kernel for CPUs, too."""
    with torch.library._scoped_library("aten", "IMPL") as kernels:
        kernels.impl("_flash_attention_forward", forward, "CPU")
        kernels.impl("_flash_attention_backward", backward, "CPU")
        yield
