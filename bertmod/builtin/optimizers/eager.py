"""torch's optimizers without what is there for compiling them."""

from __future__ import annotations

from inspect import unwrap

import torch


class EagerOptimizer(torch.optim.Optimizer):
    """An optimizer whose steps are never compiled, so that no run has to load the compiler.

    torch wraps these methods so that its compiler passes over them; the wrapper imports the
    compiler, which takes about as long as torch itself. Here they are called as they were
    written. A run with ``training.compile`` compiles layers, not the optimizer.
    """

    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)


plain_step = torch.no_grad()(unwrap(torch.optim.AdamW.step))
"""The step of torch's AdamW without its hooks, which torch puts around that of a class."""


class EagerAdamW(EagerOptimizer, torch.optim.AdamW):
    """The AdamW of torch, likewise."""

    step = plain_step
