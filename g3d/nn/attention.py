"""Multi-head attention, batch first, with the parameter names of torch's MultiheadAttention.

Letters in shapes: B batch, H heads, Q queries, K keys, C channels, D = C / H.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.nn.dropout import Dropout, random_keep
from g3d.nn.precision import at_least_float32


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017).

    Args:
        channels: C, a multiple of heads.
        heads: H.
        dropout: dropout of the attention weights, in training.
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels: expected a multiple of the {heads} heads, found {channels}")
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        self.dropout = Dropout(dropout)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return the attention output of each query.

        Args:
            query: (B, Q, C).
            key, value: (B, K, C). Arguments that are the same object share one projection.
            padding: (B, K) bool, True where a key is padding and has no weight; not True for a whole row.

        Returns:
            (B, Q, C).
        """
        if query.shape[1] == 1:
            return self.out_proj(self._single(query, key, value, padding))
        q, k, v = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in self._project(query, key, value))
        p = self.dropout.p if self.training else 0.0
        if p > 0 and q.device.type == "cpu":
            found: Tensor = _DroppedAttention.apply(q, k, v, padding, p)
        else:
            found = F.scaled_dot_product_attention(q, k, v, None if padding is None else ~padding[:, None, None], p)
        return self.out_proj(found.transpose(1, 2).flatten(2))

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values (B, Q or K, C), with one matrix product for each distinct input."""
        if query is key is value:
            return self._linear(query, 0, 3)
        if query is key:
            return self._linear(query, 0, 2) + self._linear(value, 2, 3)
        if key is value:
            return self._linear(query, 0, 1) + self._linear(key, 1, 3)
        return self._linear(query, 0, 1) + self._linear(key, 1, 2) + self._linear(value, 2, 3)

    def _linear(self, x: Tensor, start: int, end: int) -> tuple[Tensor, ...]:
        """Return the projections start, ..., end - 1 of query, key, value."""
        channels = x.shape[2]
        rows = slice(start * channels, end * channels)
        return F.linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows]).chunk(end - start, 2)

    def _single(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None) -> Tensor:
        """Return the attention output of one query.

        It is cheaper to project the query onto the keys' inputs, and to project the weighted sum of the values' inputs,
        than to project all keys and values.
        """
        _, to_keys, to_values = (
            weight.unflatten(0, (self.heads, -1)) for weight in self.in_proj_weight.chunk(3)
        )  # (H, D, C)
        q = self._linear(query, 0, 1)[0].unflatten(2, (self.heads, -1))[:, 0]  # (B, H, D)
        wanted = torch.einsum("bhd,hdc->bhc", q, to_keys) / math.sqrt(
            q.shape[2]
        )  # the keys' bias adds the same to all scores: softmax ignores it
        scores = at_least_float32(wanted @ key.transpose(1, 2))  # (B, H, K)
        if padding is not None:
            scores = scores.masked_fill(padding[:, None], -torch.inf)
        weights = self.dropout(scores.softmax(2))
        found = torch.einsum("bhc,hdc->bhd", weights.to(value.dtype) @ value, to_values)
        bias = self.in_proj_bias.chunk(3)[2].unflatten(0, (self.heads, -1))
        return (found + weights.sum(2, keepdim=True) * bias).flatten(1)[:, None]


class _DroppedAttention(torch.autograd.Function):
    """Attention with dropout of the weights on a CPU, which saves only the dropout mask, in bytes.

    PyTorch's attention saves all weights three times. Here, the backward pass computes the weights again, one head at a
    time, in the processor's cache.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, padding: Tensor | None, p: float) -> Tensor:
        found = torch.empty(q.shape[0], q.shape[2], q.shape[1], q.shape[3], dtype=q.dtype).transpose(
            1, 2
        )  # heads adjacent in memory
        keep, ctx.scale = random_keep(torch.Size((*q.shape[:3], k.shape[2])), p)
        with torch.autocast("cpu", enabled=False):
            for b, h in _batch_and_head(q):
                weights = _weights(q[b, h], k[b, h], None if padding is None else padding[b])
                found[b, h] = (weights.mul_(keep[b, h]).to(v.dtype) @ v[b, h]).mul_(ctx.scale)
        ctx.save_for_backward(q, k, v, padding, keep)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, padding, keep = ctx.saved_tensors
        to_q, to_k, to_v = (torch.empty_like(x) for x in (q, k, v))
        for b, h in _batch_and_head(q):
            weights = _weights(q[b, h], k[b, h], None if padding is None else padding[b])
            scaled = gradient[b, h] * ctx.scale
            to_v[b, h] = (weights * keep[b, h]).to(v.dtype).T @ scaled
            to_weights = at_least_float32(scaled @ v[b, h].T).mul_(keep[b, h])
            to_scores = torch._softmax_backward_data(to_weights, weights, 1, weights.dtype).to(q.dtype)
            to_scores *= q.shape[3] ** -0.5
            to_q[b, h] = to_scores @ k[b, h]
            to_k[b, h] = to_scores.T @ q[b, h]
        return to_q, to_k, to_v, None, None


def _batch_and_head(q: Tensor) -> list[tuple[int, int]]:
    return [(b, h) for b in range(q.shape[0]) for h in range(q.shape[1])]


def _weights(q: Tensor, k: Tensor, padding: Tensor | None) -> Tensor:
    """Return the attention weights of a head, (Q, D) and (K, D) -> (Q, K), float32 or wider."""
    scores = at_least_float32((q * q.shape[1] ** -0.5) @ k.T)
    if padding is not None:
        scores.masked_fill_(padding, -torch.inf)
    return scores.softmax(1)
