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
from bertmod.builtin.heads.by_feature import real_tokens, tokens_by_feature
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

    Reads the positions ``words`` of the tokens that have a target and the target ``labels``, their
    pieces' indices into the vocabulary, int64, -1 where there is none; both with as many entries
    per feature. Gives the logits ``logits`` of the tokens it is asked about: with ``mask_id`` of
    the real tokens that are it, (masks, vocabulary), else of all, (tokens, vocabulary). Where
    there are targets and gradients are recorded there are no logits, since the loss projects
    words with a label alone.

    Decodes the most likely pieces of each token it is asked about, which is what a task needs to
    fill in masks or to count right pieces: ``tokens``, where in the feature, (N,), int64;
    ``pieces``, (N, top_k), int64, the most likely first; ``log_probabilities`` of these, fp32.

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
        losses = {}
        if {"labels", "words"} <= batch.targets.keys():
            losses["masked_lm"] = (self._loss(output.hidden_TH, words_VH, batch), 1.0)
            if torch.is_grad_enabled():
                return HeadOutput({}, losses)
        hidden_NH = output.hidden_TH
        if self.mask_id is not None:
            hidden_NH = hidden_NH[self._asked(batch)]
        return HeadOutput({"logits": self.project(hidden_NH, words_VH)}, losses)

    def project(self, hidden_NH: Tensor, words_VH: Tensor) -> Tensor:
        """Logits of every piece for some tokens, (tokens, vocabulary), compute dtype.

        Args:
            hidden_NH: Their last hidden states, (tokens, hidden), compute dtype.
            words_VH: The encoder's word embeddings, (vocabulary, hidden).
        """
        return F.linear(self.transform(hidden_NH), words_VH, self.bias)

    def decode(self, output: HeadOutput, batch: Batch) -> list[Arrays]:
        """``tokens``, ``pieces`` and ``log_probabilities`` of each feature."""
        logits_NV = output.logits["logits"].detach().float()
        if self.mask_id is None:
            logits_NV = logits_NV[real_tokens(batch)]
        log_NK, piece_NK = logits_NV.topk(min(self.top_k, logits_NV.shape[1]))
        log_NK = log_NK - logits_NV.logsumexp(-1, keepdim=True)
        asked = tokens_by_feature(self._asked(batch), batch)
        places = [np.flatnonzero(tokens) for tokens in asked]
        bounds = np.cumsum([len(tokens) for tokens in places])[:-1]
        pieces = np.split(piece_NK.cpu().numpy(), bounds)
        logs = np.split(log_NK.cpu().numpy(), bounds)
        return [
            {"tokens": tokens, "pieces": piece, "log_probabilities": log}
            for tokens, piece, log in zip(places, pieces, logs, strict=True)
        ]

    def _loss(self, hidden_TH: Tensor, words_VH: Tensor, batch: Batch) -> Tensor:
        token_W = batch.targets["words"].flatten()
        label_W = batch.targets["labels"].flatten().masked_fill(token_W < 0, NO_CLASS)
        hidden_WH = hidden_TH.index_select(0, token_W.clamp(min=0))
        loss: Tensor = self.loss(self.project(hidden_WH, words_VH), label_W)
        return loss

    def _asked(self, batch: Batch) -> Tensor:
        """Which tokens it is asked about, (tokens,), bool."""
        real_T = real_tokens(batch)
        return real_T if self.mask_id is None else real_T & (batch.input_ids_T == self.mask_id)
