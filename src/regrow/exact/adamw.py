"""AdamW as a ``torch.optim.Optimizer``, with a written order of operations; and clipping with an exact norm.

Example:
    >>> optimizer = AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    >>> loss.backward()
    >>> clip_grad_norm_(model.parameters(), 1.0)
    >>> optimizer.step()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from regrow.exact import checks, optimizer
from regrow.exact.optimizer import adamw_step, clip_factor, gradient_norm, rows


class AdamW(Optimizer):
    """AdamW (Loshchilov and Hutter, 2019), every operation rounded on its own to float32.

    ``m = b1 m + (1 - b1) g``, ``v = b2 v + (1 - b2) g**2``, ``u = (m / (1 - b1**t)) / (sqrt(v / (1 - b2**t)) + eps)``,
    and ``p = p (1 - lr weight_decay) - lr u``. Groups, ``state_dict`` and learning-rate schedules are torch's.

    Args:
        params: float32 parameters, or groups of them, each a dictionary with its own settings.
        lr: learning rate.
        betas: decay of the first and of the second moment, both below 1.
        eps: added to the root of the second moment.
        weight_decay: decoupled decay of every parameter of the group. Gains and biases usually go into a group of 0.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own; what is left out is the optimizer's."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for name in ("lr", "eps", "weight_decay"):
            checks.number("AdamW", name, group[name])
        if not isinstance(group["betas"], Sequence) or len(group["betas"]) != 2:
            raise checks.refused("AdamW", "betas", group["betas"], "it must be two numbers")
        for beta in group["betas"]:
            if checks.number("AdamW", "betas", beta) >= 1.0:
                raise checks.refused("AdamW", "betas", beta, "it must be below 1")
        for parameter in group["params"]:
            checks.floats("AdamW", params=parameter)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient; gives what ``closure``, called first, gave."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            settings = optimizer.AdamW(beta1, beta2, group["eps"], group["weight_decay"])
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, settings, checks.number("AdamW", "lr", group["lr"]))
        return loss

    def _update(self, parameter: Tensor, settings: optimizer.AdamW, rate: float) -> None:
        checks.floats("AdamW", params=parameter, gradient=parameter.grad)
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"], state["exp_avg_sq"] = (
                torch.zeros_like(parameter, memory_format=torch.contiguous_format) for _ in range(2)
            )
        state["step"] += 1
        given = parameter.grad, state["exp_avg"], state["exp_avg_sq"]
        gradient, first, second = (x.contiguous() for x in given if x is not None)
        constants = settings.constants(int(state["step"]), rate, 1.0, decays=True)
        contiguous = parameter.contiguous()
        adamw_step(contiguous, gradient, first, second, constants)
        for stored, updated in ((parameter, contiguous), (given[1], first), (given[2], second)):
            if updated is not stored:
                stored.copy_(updated)


@torch.no_grad()
def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], limit: float) -> float:
    """Scale gradients, in place, so that their Euclidean norm together is at most ``limit``; gives the norm it was.

    ``parameters`` may be a single one. The squares of a tensor are summed exactly, the tensors' sums added in float64
    in the order given. A norm that is not finite leaves the gradients as they are.
    """
    limit = checks.number("clip_grad_norm_", "limit", limit)
    several: list[Any] = (
        [parameters] if isinstance(parameters, Tensor) or not isinstance(parameters, Iterable) else [*parameters]
    )
    if not all(isinstance(p, Tensor) for p in several):
        raise checks.refused("clip_grad_norm_", "parameters", parameters, "it must be a tensor, or some")
    gradients = [p.grad for p in several if p.grad is not None]
    for gradient in gradients:
        checks.floats("clip_grad_norm_", gradient=gradient)
    if not gradients:
        return 0.0
    norm = gradient_norm({f"{i:09}": rows(g.contiguous()) for i, g in enumerate(gradients)})
    factor = clip_factor(norm, limit)
    if factor != 1.0:
        for gradient in gradients:
            gradient.copy_(gradient * torch.full((), factor, dtype=torch.float32, device=gradient.device))
    return norm
