"""A head that finds the pieces that were masked.

Shape letters: T tokens of a batch, H hidden size, V vocabulary, N tokens that are asked about, W
words with a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertmod import Batch, EncoderOutput, HeadContext, HeadOutput, Part
from bertmod.builtin.heads.by_feature import real_tokens
from bertmod.builtin.heads.class_loss import NO_CLASS, ClassLoss, count_words
from bertmod.builtin.heads.config import MaskedLmConfig, vocabulary
from bertmod.nn.activations import activation

Arrays = Mapping[str, np.ndarray]


class Transform(nn.Module):
    """Dense layer, activation and LayerNorm."""

    def __init__(self, hidden_size: int, *, hidden_act: str, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.act = activation(hidden_act)
        self.norm = nn.LayerNorm(hidden_size, eps=eps)

    def forward(self, hidden_NH: Tensor) -> Tensor:
        """What is compared with the word embeddings, (tokens, hidden)."""
        transformed_NH: Tensor = self.norm(self.act(self.dense(hidden_NH)))
        return transformed_NH


class MaskedLm(nn.Module):
    """The right piece of each of some tokens among the vocabulary, by cross entropy.

    Reads the positions ``words`` of the tokens that are asked about and the target ``labels``,
    their pieces' indices into the vocabulary, int64, -1 where there is none; both with as many
    entries per feature. It projects no token that it is not asked about. Gives the logits
    ``words`` of those at the positions, in their order, (words, vocabulary); where a batch has no
    positions, the logits ``logits``: with ``mask_id`` of the real tokens that are it, (masks,
    vocabulary), else of all, (tokens, vocabulary). Where there are targets and gradients are
    recorded, there are no logits.

    Decodes the most likely pieces of each token it is asked about, which is what a task needs to
    fill in masks or to count right pieces: ``tokens``, where in the feature, ascending, (N,),
    int64; ``pieces``, (N, top_k), int64, the most likely first; ``log_probabilities`` of these,
    fp32; and where there are labels, ``label_log_probabilities``, (N,), fp32, those of -1 being 0.

    Raises:
        ValueError: If the encoder states no size of its vocabulary.
    """

    layout: Literal["any", "padded"] = "any"

    def __init__(self, config: MaskedLmConfig, context: HeadContext) -> None:
        super().__init__()
        shape = context.shape
        self.want: frozenset[Part] = frozenset({"hidden", "word_embeddings"})
        self.info = context.info
        self.mask_id, self.top_k = config.mask_id, config.top_k
        self.transform = Transform(
            shape.hidden_size, hidden_act=config.hidden_act, eps=shape.layer_norm_eps
        )
        self.bias = nn.Parameter(torch.zeros(vocabulary(shape)))
        self.loss = ClassLoss(None)
        context.init(self)

    def num_targets(self, targets: Arrays, lengths: np.ndarray) -> Mapping[str, float]:
        """Words with a label that lie in their feature, as ``masked_lm``."""
        del lengths
        count = count_words(self.loss, targets)
        return {} if count is None else {"masked_lm": count}

    def forward(self, output: EncoderOutput, batch: Batch) -> HeadOutput:
        """Logits, and the sum of cross entropies over words with a label."""
        words_VH = output.word_embeddings_VH
        assert words_VH is not None
        token_N = self._asked(batch)
        hidden_NH = output.hidden_TH
        if token_N is not None:
            hidden_NH = hidden_NH.index_select(0, token_N)
        logits_NV = self.project(hidden_NH, words_VH)
        logits = {"words" if "words" in batch.targets else "logits": logits_NV}
        if not {"labels", "words"} <= batch.targets.keys():
            return HeadOutput(logits, {})
        losses = {"masked_lm": (self.loss(logits_NV, _labels(batch)), 1.0)}
        return HeadOutput({} if torch.is_grad_enabled() else logits, losses)

    def project(self, hidden_NH: Tensor, words_VH: Tensor) -> Tensor:
        """Logits of every piece for some tokens, (tokens, vocabulary), compute dtype.

        Args:
            hidden_NH: Their last hidden states, (tokens, hidden), compute dtype.
            words_VH: The encoder's word embeddings, (vocabulary, hidden).
        """
        return F.linear(self.transform(hidden_NH), words_VH, self.bias)

    def decode(self, output: HeadOutput, batch: Batch) -> list[Arrays]:
        """``tokens``, ``pieces`` and ``log_probabilities`` of each feature."""
        name = "words" if "words" in batch.targets else "logits"
        logits_NV = output.logits[name].detach().float()
        token_N = self._asked(batch)
        if token_N is None:
            token_N = torch.nonzero(real_tokens(batch))[:, 0]
            logits_NV = logits_NV[token_N]
        total_N1 = logits_NV.logsumexp(-1, keepdim=True)
        log_NK, piece_NK = logits_NV.topk(min(self.top_k, logits_NV.shape[1]))
        columns = {"pieces": piece_NK, "log_probabilities": log_NK - total_N1}
        if {"labels", "words"} <= batch.targets.keys():
            label_N = _labels(batch)
            own_N = (logits_NV.gather(1, label_N.clamp(min=0)[:, None]) - total_N1)[:, 0]
            columns["label_log_probabilities"] = own_N.masked_fill(label_N < 0, 0.0)
        host = {name: values.cpu().numpy() for name, values in columns.items()}
        return _by_feature(token_N, host, batch, there=_counted(batch))

    def _asked(self, batch: Batch) -> Tensor | None:
        """Places of the tokens it is asked about, (N,), int64; None: it is asked about all."""
        if "words" in batch.targets:
            return batch.targets["words"].flatten().clamp(min=0)
        if self.mask_id is None:
            return None
        return torch.nonzero(real_tokens(batch) & (batch.input_ids_T == self.mask_id))[:, 0]


def _labels(batch: Batch) -> Tensor:
    """The label of each of a batch's words, -1 where there is none, (words,), int64."""
    outside_N = batch.targets["words"].flatten() < 0
    return batch.targets["labels"].flatten().long().masked_fill(outside_N, NO_CLASS)


def _counted(batch: Batch) -> np.ndarray | None:
    """Which of a batch's words lie in their feature, (words,), bool; None without words."""
    words = batch.targets.get("words")
    return None if words is None else (words.flatten() >= 0).cpu().numpy()


def _by_feature(
    token_N: Tensor, columns: Arrays, batch: Batch, *, there: np.ndarray | None
) -> list[Arrays]:
    """Columns of tokens cut by feature, each feature's in the order of its tokens.

    Args:
        token_N: Places in the batch, (tokens,), int64.
        columns: Name to values, (tokens, ...).
        batch: The batch.
        there: Which of the tokens count, (tokens,), bool; None: all.
    """
    rows = batch.feature_of_row_R.cpu().numpy()
    row_N = batch.context.row_of_token_T[token_N].cpu().numpy()
    token = token_N.cpu().numpy()
    kept = np.arange(len(token)) if there is None else np.flatnonzero(there)
    kept = kept[np.lexsort((token[kept], rows[row_N[kept]]))]
    lengths = batch.context.lengths_R.cpu().numpy()
    # A feature's rows lie one behind another, so that its tokens count on from row to row.
    before_R = np.cumsum(lengths) - lengths
    before_R -= before_R[np.searchsorted(rows, rows)]
    places = batch.context.position_of_token_T[token_N].cpu().numpy() + before_R[row_N]
    ends = np.searchsorted(rows[row_N[kept]], np.arange(rows[-1] + 1 if len(rows) else 0), "right")
    cut = {
        name: np.split(values[kept], ends[:-1])
        for name, values in {"tokens": places.astype(np.int64), **columns}.items()
    }
    return [dict(zip(cut, values, strict=True)) for values in zip(*cut.values(), strict=True)]
