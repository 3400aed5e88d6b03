"""Multi-head attention, batch first, with the parameter names of torch's MultiheadAttention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Scaled dot-product attention in heads (Vaswani et al. 2017).

    Letters in shapes: B batch, Q queries, K keys, C channels.

    Args:
        channels: C, a multiple of heads.
        dropout: of the attention weights, in training.
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels: expected a multiple of the {heads} heads, found {channels}")
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None = None) -> Tensor:
        """What each query finds among the keys.

        Args:
            query: (B, Q, C).
            key, value: (B, K, C); tensors that are the same object are projected together.
            padding: (B, K) bool, True where a key is padding and has no weight; not all of a row.

        Returns:
            (B, Q, C).
        """
        q, k, v = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in self._project(query, key, value))
        mask = None if padding is None else ~padding[:, None, None]
        found = F.scaled_dot_product_attention(q, k, v, mask, self.dropout if self.training else 0.0)
        return self.out_proj(found.transpose(1, 2).flatten(2))

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values (B, Q or K, C), with as few matrix products as there are different inputs."""
        if query is key is value:
            return self._linear(query, 0, 3)
        if query is key:
            return self._linear(query, 0, 2) + self._linear(value, 2, 3)
        if key is value:
            return self._linear(query, 0, 1) + self._linear(key, 1, 3)
        return self._linear(query, 0, 1) + self._linear(key, 1, 2) + self._linear(value, 2, 3)

    def _linear(self, x: Tensor, start: int, end: int) -> tuple[Tensor, ...]:
        """Projections start, ..., end - 1 of query, key, value."""
        channels = x.shape[2]
        rows = slice(start * channels, end * channels)
        return F.linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows]).chunk(end - start, 2)
