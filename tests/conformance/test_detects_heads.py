"""Each check of heads fails for a head that is broken in just the way it looks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from bertmod import EmptyConfig, HeadOutput
from bertmod.builtin.heads.modules import Classification
from bertmod.builtin.heads.multiple_choice import MultipleChoice
from bertmod.builtin.heads.span import AnswerSpan
from bertmod.builtin.heads.token_classification import TokenClassification
from bertmod.library import installed
from bertmod.testing import heads

SPEC: Any = installed().get("head", "bertmod/classification").spec


def spec_of(module: type[nn.Module] = Classification, **changed: Any) -> Any:
    return replace(SPEC, build=lambda config, context: module(config, context), **changed)


class WantsMore(Classification):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.want = frozenset({"pooled", "hidden"})


class ReadsHidden(Classification):
    def forward(self, output, batch):
        first = output.hidden_TH.mean() if output.layers is not None else 0.0
        made = super().forward(output, batch)
        return HeadOutput({"logits": made.logits["logits"] + first}, made.losses)


class Mean(Classification):
    def forward(self, output, batch):
        made = super().forward(output, batch)
        rows = len(batch.feature_of_row_R)
        losses = {name: (value / rows, weight) for name, (value, weight) in made.losses.items()}
        return HeadOutput(made.logits, losses)


class OtherName(Classification):
    def num_targets(self, targets, lengths):
        return {"labels": sum(super().num_targets(targets, lengths).values())}


class LossAlways(Classification):
    def forward(self, output, batch):
        made = super().forward(output, batch)
        return made if made.losses else HeadOutput(made.logits, {"none": (torch.zeros(()), 1.0)})


class Backwards(Classification):
    def decode(self, output, batch):
        return super().decode(output, batch)[::-1]


class OneAnswer(Classification):
    def decode(self, output, batch):
        return super().decode(output, batch)[:1]


class CountsPadding(Classification):
    def forward(self, output, batch):
        made = super().forward(output, batch)
        scale = len(batch.input_ids_T) / 100
        return HeadOutput({"logits": made.logits["logits"] * scale}, made.losses)


class LossOfPadding(Classification):
    def forward(self, output, batch):
        made = super().forward(output, batch)
        tokens = len(batch.input_ids_T)
        losses = {name: (value + tokens, weight) for name, (value, weight) in made.losses.items()}
        return HeadOutput(made.logits, losses)


class Extra(Classification):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.extra = nn.Parameter(torch.zeros(2))


class Elsewhere(Classification):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.offset = torch.rand(3)

    def forward(self, output, batch):
        made = super().forward(output, batch)
        return HeadOutput({"logits": made.logits["logits"] + self.offset}, made.losses)


class HalfLoss(Classification):
    def forward(self, output, batch):
        made = super().forward(output, batch)
        if output.pooled_RH.dtype == torch.float32:
            return made
        losses = {name: (value.bfloat16(), weight) for name, (value, weight) in made.losses.items()}
        return HeadOutput(made.logits, losses)


class OwnDropout(Classification):
    def forward(self, output, batch):
        made = super().forward(output, batch)
        logits = torch.dropout(made.logits["logits"], 0.5, self.training)
        return HeadOutput({"logits": logits}, made.losses)


BROKEN: list[tuple[str, Any, str]] = [
    ("wants", WantsMore, "its spec says {'pooled'}"),
    ("only_what_it_wants", ReadsHidden, "logits logits depend on unwanted parts"),
    ("losses_are_counted_sums", Mean, "losses are sums, not means"),
    ("losses_are_counted_sums", OtherName, "num_targets names labels, the losses are classif"),
    ("no_targets_no_loss", LossAlways, "without targets there is a loss none"),
    ("decodes_each_feature", Backwards, "feature 0 is answered otherwise than alone"),
    ("decodes_each_feature", OneAnswer, "1 entries for 7 features"),
    ("layouts_agree", CountsPadding, "feature 0 is answered otherwise in rows padded to"),
    ("layouts_agree", LossOfPadding, "loss classification is another in rows padded to 40"),
    ("parameter_count", Extra, "num_parameters says 75, the module has 77"),
    ("tensor_names", Extra, "the module has tensors that its names lack: extra"),
    ("save_and_load", Elsewhere, "logits logits differ after loading"),
    ("trains", Extra, "no gradient reaches extra"),
    ("half_precision", HalfLoss, "under bf16 loss classification is torch.bfloat16"),
    ("dropout_from_context", OwnDropout, "module.train() changes logits logits"),
]


def test_nothing_is_wrong_with_the_sound_one(verdicts) -> None:
    assert verdicts(spec_of()) == {}


@pytest.mark.parametrize(("check", "module", "told"), BROKEN)
def test_a_broken_one_is_found(verdict, check: str, module: Any, told: str) -> None:
    assert told in verdict(spec_of(module), check)


def test_every_check_has_a_broken_head(own_checks) -> None:
    assert {check for check, _, _ in BROKEN} == own_checks(heads.CHECKS)


def test_targets_of_another_kind_come_from_the_author(verdict, material) -> None:
    spec = spec_of(targets=lambda config: {"labels": "tag"}, config=EmptyConfig)
    spec = replace(spec, config=SPEC.config)
    told = verdict(spec, "trains")
    assert 'the suite cannot make targets of kind "tag": give targets={"classification":' in told

    def targets(draws: Any, lengths: Any) -> Any:
        return {"labels": draws.integers(0, 3, len(lengths))}

    assert verdict(spec, "trains", material=material(targets=targets)) == ""


class SpanOverPadding(AnswerSpan):
    def _rows(self, logits_T2, context):
        return context.pad(logits_T2)[0]


class ChoiceOfRows(MultipleChoice):
    def decode(self, output, batch):
        return [{"logits": each} for each in output.logits["logits"].numpy()]


class TagsOfPadding(TokenClassification):
    def decode(self, output, batch):
        rows = batch.context.pad(output.logits["logits"])[0]
        return [{"probabilities": row.softmax(-1).numpy()} for row in rows]


class TagsInAllPositions(TokenClassification):
    def num_targets(self, targets, lengths):
        return {"tags": float(lengths.sum())} if targets else {}

    def forward(self, output, batch):
        made = super().forward(output, replace(batch, targets={}))
        if not batch.targets:
            return made
        return HeadOutput(made.logits, {"tags": (made.logits["logits"].float().sum(), 1.0)})


OTHER_KINDS: list[tuple[str, str, Any, str]] = [
    ("span", "layouts_agree", SpanOverPadding, "loss start is another in rows padded to 40"),
    ("multiple_choice", "decodes_each_feature", ChoiceOfRows, "7 entries for 3 features"),
    ("token_classification", "decodes_each_feature", TagsOfPadding, "feature 0 is answered other"),
    ("token_classification", "layouts_agree", TagsInAllPositions, "loss tags is another in rows"),
]


@pytest.mark.parametrize(("name", "check", "module", "told"), OTHER_KINDS)
def test_broken_heads_of_other_kinds_are_found(
    verdict, name: str, check: str, module: Any, told: str
) -> None:
    """A stranger's head of spans, choices or tags needs no function for its targets."""
    spec: Any = installed().get("head", f"bertmod/{name}").spec
    broken = replace(spec, build=lambda config, context: module(config, context))
    assert told in verdict(broken, check)
