"""Attention agrees with torch's, in every way through it; dropout's masks, scales and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from g3d.nn.attention import Attention, _DroppedAttention
from g3d.nn.dropout import Dropout, random_keep


def pair(channels: int = 16, heads: int = 4) -> tuple[Attention, nn.MultiheadAttention]:
    torch.manual_seed(0)
    ours, torchs = Attention(channels, heads), nn.MultiheadAttention(channels, heads, batch_first=True)
    nn.init.normal_(ours.in_proj_bias)
    torchs.load_state_dict(ours.state_dict())  # the same names
    return ours, torchs


@pytest.mark.parametrize("same", ["all", "query and key", "key and value", "none"])
@pytest.mark.parametrize("queries", [1, 5])
@pytest.mark.parametrize("padded", [False, True])
def test_agrees_with_torch(same: str, queries: int, padded: bool) -> None:
    ours, torchs = pair()
    if same in ("all", "query and key"):
        query = key = torch.randn(2, queries, 16, requires_grad=True)
    else:
        query, key = torch.randn(2, queries, 16, requires_grad=True), torch.randn(2, 7, 16, requires_grad=True)
    value = key if same in ("all", "key and value") else torch.randn(2, key.shape[1], 16, requires_grad=True)
    padding = torch.zeros(2, key.shape[1], dtype=torch.bool)
    if padded and key.shape[1] > 1:
        padding[0, 3:] = True
    found = ours(query, key, value, padding if padded else None)
    expected = torchs(query, key, value, padding)[0]
    torch.testing.assert_close(found, expected)
    inputs = list({id(x): x for x in (query, key, value)}.values())
    weights = torch.randn_like(expected)
    for a, b in zip(
        torch.autograd.grad((found * weights).sum(), [*inputs, *ours.parameters()]),
        torch.autograd.grad((expected * weights).sum(), [*inputs, *torchs.parameters()]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padded", [False, True])
def test_dropped_weights_have_the_gradient_of_dropped_weights(padded: bool) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 4, dtype=torch.float64, requires_grad=True) for n in (5, 6, 6))
    padding = torch.tensor([[False] * 4 + [True] * 2, [False] * 6]) if padded else None

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        torch.manual_seed(1)
        return _DroppedAttention.apply(q, k, v, padding, 0.3)

    torch.manual_seed(1)
    keep, scale = random_keep(torch.Size((2, 3, 5, 6)), 0.3)
    scores = q @ k.transpose(2, 3) / 2
    if padding is not None:
        scores = scores.masked_fill(padding[:, None, None], -torch.inf)
    torch.testing.assert_close(attend(q, k, v), (scores.softmax(3) * keep * scale) @ v)
    assert torch.autograd.gradcheck(attend, (q, k, v))


@pytest.mark.parametrize("queries", [1, 4])
def test_dropout_works_in_training_only(queries: int) -> None:
    torch.manual_seed(0)
    attention, x, keys = Attention(16, 4, 0.5), torch.randn(1, queries, 16), torch.randn(1, 9, 16)
    assert not torch.equal(attention(x, keys, keys), attention(x, keys, keys))
    attention.eval()
    assert torch.equal(attention(x, keys, keys), attention(x, keys, keys))


def test_bfloat16_is_close_to_float32() -> None:
    ours, _ = pair()
    x, keys = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    for queries in (x, x[:, :1]):
        exact = ours(queries, keys, keys)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(ours(queries, keys, keys).float(), exact, rtol=0.05, atol=0.05)


def test_heads_must_divide_channels() -> None:
    with pytest.raises(ValueError, match="multiple of the 3 heads, found 16"):
        Attention(16, 3)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.999])
def test_kept_share_and_scale_fit_the_probability(p: float) -> None:
    torch.manual_seed(0)
    keep, scale = random_keep(torch.Size((100, 1001)), p)
    assert keep.float().mean().item() == pytest.approx(1 - p, abs=4 * (p * (1 - p) / 100_100) ** 0.5 + 1e-5)
    assert scale == pytest.approx(1 / (1 - p), rel=0.01)


def test_everything_may_be_dropped() -> None:
    keep, scale = random_keep(torch.Size((50,)), 1.0)
    assert not keep.any()
    assert scale == 0


def test_dropout_is_repeatable_and_passes_gradients_where_it_passes_values() -> None:
    x = torch.randn(33, 7, requires_grad=True)
    dropout = Dropout(0.25)
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(dropout(x))
    assert torch.equal(*results)
    gradient = torch.autograd.grad(results[0].sum(), x)[0]
    torch.testing.assert_close(gradient * x, results[0])
    assert set(gradient.unique().tolist()) == {0.0, gradient.max().item()}
    assert dropout.eval()(x) is x
