"""Row layouts: packed and padded tokens mean the same rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertmod.contracts.batch import Span
from bertmod.nn.context import RowContext

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def layouts(lengths, *, length=None, **options) -> tuple[RowContext, ...]:
    """The same rows packed, packed with tokens rounded up, and padded."""

    def make(layout, multiple):
        rows = np.array(lengths)
        return RowContext.of(rows, layout=layout, length=length, token_multiple=multiple, **options)

    return make("packed", 1), make("packed", 4), make("padded", 1)


def tokens(lengths, width: int, seed: int = 0) -> list[torch.Tensor]:
    """One tensor per row."""
    made = torch.Generator().manual_seed(seed)
    return [torch.randn(length, width, generator=made) for length in lengths]


def lay(rows, context: RowContext) -> torch.Tensor:
    """Rows as the flat tokens of a layout; rubbish where there is padding."""
    rubbish = torch.full_like(rows[0][0], 7.0)
    places = zip(context.row_of_token_T, context.position_of_token_T, strict=True)
    flat = [rows[row][at] if at < len(rows[row]) else rubbish for row, at in places]
    return torch.stack(flat)


def test_tokens_are_rounded_up_where_there_is_room() -> None:
    for lengths, count in (([3, 1, 4], 8), ([3, 2, 4], 12), ([5, 5], 10), ([1], 1)):
        context = layouts(lengths)[1]
        assert len(context.slot_of_token_T) == count
        assert context.slot_of_token_T.diff().gt(0).all()


def real(flat: torch.Tensor, context: RowContext) -> torch.Tensor:
    """The real tokens of a layout."""
    return flat[context.position_of_token_T < context.lengths_R[context.row_of_token_T]]


@settings(deadline=None, max_examples=40)
@given(lengths=LENGTHS, spare=st.integers(0, 3))
def test_where_tokens_lie(lengths, spare) -> None:
    for context in layouts(lengths, length=max(lengths) + spare):
        rows = [row for row, length in enumerate(lengths) for _ in range(length)]
        positions = [position for length in lengths for position in range(length)]
        assert real(context.row_of_token_T, context).tolist() == rows
        assert real(context.position_of_token_T, context).tolist() == positions
        first = context.first_token_of_row_R
        assert context.row_of_token_T[first].tolist() == list(range(len(lengths)))
        assert context.position_of_token_T[first].tolist() == [0] * len(lengths)
        assert context.mask_RL.sum(1).tolist() == lengths
        assert context.num_rows == len(lengths)
        assert context.max_length == max(lengths) + spare


@settings(deadline=None, max_examples=40)
@given(lengths=LENGTHS, spare=st.integers(0, 3))
def test_attention_is_that_of_each_row_alone(lengths, spare) -> None:
    rows = tokens(lengths, 3 * 2 * 4)
    alone = []
    for row in rows:
        q, k, v = (part.view(-1, 2, 4).transpose(0, 1) for part in row.chunk(3, dim=-1))
        weights = (q @ k.transpose(1, 2) / 2.0).softmax(-1)
        alone.append((weights @ v).transpose(0, 1))
    for context in layouts(lengths, length=max(lengths) + spare):
        parts = (part.view(-1, 2, 4) for part in lay(rows, context).chunk(3, dim=-1))
        found = context.attention(*parts, dropout=0.0)
        torch.testing.assert_close(real(found, context), torch.cat(alone), atol=1e-5, rtol=1e-5)
        assert torch.isfinite(found).all()


@settings(deadline=None, max_examples=40)
@given(lengths=LENGTHS, spare=st.integers(0, 3))
def test_padding_puts_zeros_behind_each_row(lengths, spare) -> None:
    rows = tokens(lengths, 5)
    for context in layouts(lengths, length=max(lengths) + spare):
        padded, mask = context.pad(lay(rows, context))
        assert padded.shape == (len(lengths), max(lengths) + spare, 5)
        torch.testing.assert_close(padded[mask], torch.cat(rows))
        assert not padded[~mask].any()
        flat, _ = context.pad(torch.ones(len(context.position_of_token_T), dtype=torch.int64))
        assert torch.equal(flat.bool(), mask)


@pytest.mark.parametrize("layout", [0, 1, 2])
@pytest.mark.parametrize("lengths", [[3, 1, 4, 2, 2], [4, 4, 4, 4, 4]])
def test_narrowing_to_a_task(layout, lengths) -> None:
    tasks = [2, 2, 0, 0, 5]
    context = layouts(lengths, tasks=tasks)[layout]
    rows = tokens(lengths, 6)
    flat = lay(rows, context)
    assert [(span.task, span.first_row, span.end_row) for span in context.spans] == [
        (2, 0, 2),
        (0, 2, 4),
        (5, 4, 5),
    ]
    assert context.task_of_row_R.tolist() == tasks
    for span in context.spans:
        narrow = context.narrow(span)
        part = flat[span.first_token : span.end_token]
        wanted = rows[span.first_row : span.end_row]
        torch.testing.assert_close(real(part, narrow), torch.cat(wanted))
        assert narrow.lengths_R.tolist() == lengths[span.first_row : span.end_row]
        assert narrow.max_length == context.max_length
        assert narrow.spans == (Span(span.task, 0, len(wanted), 0, len(part)),)
        padded, mask = narrow.pad(part)
        torch.testing.assert_close(padded[mask], torch.cat(wanted))
        first = narrow.first_token_of_row_R
        torch.testing.assert_close(part[first], torch.stack([row[0] for row in wanted]))
        heads = part.view(len(part), 2, 3)
        whole = context.attention(*(flat.view(len(flat), 2, 3),) * 3, dropout=0.0)
        torch.testing.assert_close(
            real(narrow.attention(heads, heads, heads, dropout=0.0), narrow),
            real(whole[span.first_token : span.end_token], narrow),
        )


def test_dropout_only_while_training() -> None:
    context = RowContext.of(np.array([3, 2]))
    x = torch.ones(5, 200)
    assert context.dropout(x, 0.5) is x
    training = context.with_training(True)
    assert training.training
    assert training.with_training(True) is training
    assert training.dropout(x, 0.0) is x
    dropped = training.dropout(x, 0.5)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert 0.35 < (dropped == 0).float().mean() < 0.65
    q = torch.randn(5, 2, 4)
    assert torch.equal(
        context.attention(q, q, q, dropout=0.9), context.attention(q, q, q, dropout=0.0)
    )
    torch.manual_seed(0)
    noisy = training.attention(q, q, q, dropout=0.9)
    assert not torch.allclose(noisy, context.attention(q, q, q, dropout=0.9))


def test_gradients_agree_between_layouts() -> None:
    lengths = [4, 1, 3]
    gradients = []
    for context in layouts(lengths, length=6):
        rows = [row.requires_grad_() for row in tokens(lengths, 8)]
        flat = lay(rows, context).view(-1, 2, 4)
        out = context.attention(flat, flat, flat, dropout=0.0)
        real(out, context).square().sum().backward()
        gradients.append([row.grad for row in rows])
    for ours, rounded, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(rounded, theirs)


@pytest.mark.parametrize(
    ("lengths", "options", "message"),
    [
        ([], {}, "a batch needs at least one row, and every row at least one token"),
        ([3, 0], {}, "a batch needs at least one row, and every row at least one token"),
        ([3, 5], {"length": 4}, "a row of 5 tokens does not fit into 4"),
        ([1, 1, 1], {"tasks": [0, 1, 0]}, "the rows of one task must lie together in a batch"),
    ],
)
def test_impossible_rows(lengths, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        RowContext.of(np.array(lengths, np.int64), **options)
