"""Attention of the relation module and of the student, with the published parameter names (fc_q, fc_k, fc_v, fc_o).

Source: models/transformer/attention.py of ZzZZCHS/WS-3DVG. Letters in shapes: B batch, Q queries, K keys, H channels.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from g3d.nn.dropout import Dropout


class Projections(nn.Module):
    """Linear layers of queries, keys, values and outputs, Xavier-uniform with bias 0 at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc_q, self.fc_k, self.fc_v, self.fc_o = (nn.Linear(channels, channels) for _ in range(4))
        for layer in (self.fc_q, self.fc_k, self.fc_v, self.fc_o):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


class AttentionBlock(nn.Module):
    """Scaled dot-product attention, dropout of its output, addition to the queries and layer norm.

    Args:
        channels: H, a multiple of `heads`.
        heads: attention heads.
        dropout: in training.
    """

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention = Projections(channels)
        self.dropout = Dropout(dropout)
        self.layer_norm = nn.LayerNorm(channels)

    def forward(self, queries: Tensor, keys: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return the queries after the block.

        Args:
            queries: (B, Q, H).
            keys: (B n, K, H), the keys and values: n sets for each row of queries. The queries are projected once.
            padding: (B n, K) bool, True where a key is padding; not True for a whole row.

        Returns:
            (B n, Q, H).
        """
        count = len(keys) // len(queries)
        layers = self.attention
        q, k, v = (
            x.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for x in (_repeated(layers.fc_q(queries), count), layers.fc_k(keys), layers.fc_v(keys))
        )
        found = F.scaled_dot_product_attention(q, k, v, None if padding is None else ~padding[:, None, None])
        found = self.dropout(layers.fc_o(found.transpose(1, 2).flatten(2)))
        return self.layer_norm(_repeated(queries, count) + found)


def _repeated(rows: Tensor, count: int) -> Tensor:
    """Return (B, Q, H) with every entry `count` times in succession, (B count, Q, H)."""
    return rows if count == 1 else rows[:, None].expand(-1, count, -1, -1).flatten(0, 1)
