"""What becomes of every tensor of a checkpoint."""

from __future__ import annotations

import pytest
import torch

from bertmod import CheckpointDescription, CheckpointError, StoredTensor, TensorName
from bertmod.model.canonical import canonical_views
from bertmod.model.loading import Component, load_tensors
from bertmod.model.report import render_report


class Part(torch.nn.Module):
    """Two weights and a pooler."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = torch.nn.Parameter(torch.zeros(4, 2))
        self.gain = torch.nn.Parameter(torch.zeros(3))
        self.pooler = torch.nn.Parameter(torch.full((1,), 9.0))


NAMES = (
    TensorName("query", (2, 2), {"x": "q"}, fused=("qkv", 0)),
    TensorName("key", (2, 2), {"x": "k"}, fused=("qkv", 1), transposed=frozenset({"x"})),
    TensorName("gain", (3,), {"x": "gain"}, copies={"x": ("gain.0", "gain.1")}),
    TensorName("pooler", (1,), {"x": "pooler"}, also_read={"x": ("old_pooler",)}, part="pooled"),
)
WHOLE = {
    "q": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
    "k": torch.tensor([[5.0, 6.0], [7.0, 8.0]]),
    "gain": torch.tensor([1.0, 2.0, 3.0]),
    "pooler": torch.tensor([4.0]),
}


def stored(tensors) -> dict[str, StoredTensor]:
    return {
        name: StoredTensor(name.removeprefix("p."), tuple(t.shape), lambda t=t: t)
        for name, t in tensors.items()
    }


def load(tensors, *components, allow=None, skipped=None, format_="x"):
    description = CheckpointDescription(format_, skipped=skipped or {})
    return load_tensors(stored(tensors), description, components, allow=allow, source="ck")


def encoder(module, **options) -> Component:
    return Component("encoder", NAMES, module, required=True, **options)


def test_tensors_reach_their_place() -> None:
    module = Part()
    report = load({f"p.{name}": t for name, t in WHOLE.items()}, encoder(module))
    assert module.qkv.tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0], [6.0, 8.0]]
    assert report.used == {
        "p.q": "encoder.query",
        "p.k": "encoder.key",
        "p.gain": "encoder.gain",
        "p.pooler": "encoder.pooler",
    }
    assert render_report(report) == "4 tensors used: encoder 4"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_dtypes_become_fp32(dtype) -> None:
    module = Part()
    load({name: t.to(dtype) for name, t in WHOLE.items()}, encoder(module))
    assert module.gain.dtype == torch.float32
    assert module.gain.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.float8_e4m3fn])
def test_other_kinds_of_numbers_are_refused(dtype) -> None:
    with pytest.raises(CheckpointError) as caught:
        load(WHOLE | {"gain": torch.zeros(3).to(dtype)}, encoder(Part()))
    assert str(caught.value) == (
        f'ck: "gain" holds {dtype} values; parameters are floating-point numbers\n'
        "  accepted: float32, float16, bfloat16, float64"
    )


def test_everything_odd_is_listed_by_name() -> None:
    tensors = {
        "q": torch.zeros(3, 2),
        "gain": WHOLE["gain"],
        "gain.0": WHOLE["gain"] + 1,
        "gain.1": WHOLE["gain"],
        "extra": torch.zeros(1),
        "pooler": WHOLE["pooler"],
    }
    with pytest.raises(CheckpointError) as caught:
        load(tensors, encoder(Part()), allow={})
    assert str(caught.value) == (
        "ck does not fit the model\n"
        "  1 tensor missing from the file:\n"
        "      encoder.key\n"
        "  1 tensor in the file, but known to no part of the model:\n"
        "      extra\n"
        "  1 tensor of another shape:\n"
        "      encoder.query: (3, 2) in the file, (2, 2) in the model\n"
        "  1 tensor differing from what they should repeat:\n"
        "      gain.0 (of encoder.gain)\n"
        "  if that is meant, allow names by pattern in the checkpoint slot: "
        '"allow": {"missing": [...]}, "allow": {"unexpected": [...]}, '
        '"allow": {"misshaped": [...]}, "allow": {"unequal": [...]}'
    )
    module = Part()
    allow = {
        "missing": ["encoder.*"],
        "unexpected": ["ex*"],
        "misshaped": ["*.query"],
        "unequal": ["encoder.gain"],
    }
    report = load(tensors, encoder(module), allow=allow)
    assert report.missing == ("encoder.key",)
    assert report.unexpected == ("extra",)
    assert report.misshaped == {"encoder.query": ((3, 2), (2, 2))}
    assert report.unequal == ("gain.0",)
    assert module.qkv.tolist() == [[0.0, 0.0]] * 4
    assert module.gain.tolist() == [1.0, 2.0, 3.0]
    assert render_report(report) == (
        "5 tensors used: encoder 5\n"
        "1 tensor missing, allowed\n  encoder.key\n"
        "1 tensor unexpected, allowed\n  extra\n"
        "1 tensor of another shape, allowed and initialised afresh\n"
        "  encoder.query (3, 2) in the file, (2, 2) here\n"
        "1 tensor differing copies, allowed\n  gain.0"
    )


def test_known_tensors_that_nobody_needs_are_skipped() -> None:
    tensors = WHOLE | {"adam.q": torch.zeros(1), "h": torch.zeros(2)}
    report = load(
        tensors,
        encoder(Part()),
        Component("heads.a", [TensorName("w", (2,), {"x": "h"})]),
        skipped={"adam.*": "optimizer state"},
    )
    assert report.skipped == {"h": "nobody asked for heads.a", "adam.q": "optimizer state"}
    assert "1 tensor skipped: optimizer state\n  adam.q" in render_report(report)


def test_parts_that_no_head_wants_may_be_lacking() -> None:
    tensors = {name: WHOLE[name] for name in ("q", "k", "gain")}
    module = Part()
    report = load(tensors, encoder(module, want=frozenset({"hidden"})))
    assert report.initialised == ("encoder.pooler",)
    assert module.pooler.tolist() == [9.0]
    with pytest.raises(CheckpointError, match=r"missing from the file.*\n      encoder.pooler"):
        load(tensors, encoder(Part(), want=frozenset({"pooled"})))


def test_a_component_of_which_the_file_has_nothing_is_initialised() -> None:
    head = torch.nn.Linear(2, 1)
    component = Component(
        "heads.a",
        [
            TensorName("weight", (1, 2), {"x": "h.{task}.w"}),
            TensorName("bias", (1,), {"x": "h.{task}.b"}),
        ],
        head,
        index=3,
    )
    report = load(WHOLE, encoder(Part()), component)
    assert report.initialised == ("heads.a.weight", "heads.a.bias")
    with pytest.raises(CheckpointError, match=r"\n      heads.a.bias"):
        load(WHOLE | {"h.3.w": torch.zeros(1, 2)}, encoder(Part()), component)
    report = load(
        WHOLE | {"h.3.w": torch.ones(1, 2), "h.3.b": torch.ones(1)}, encoder(Part()), component
    )
    assert report.used["h.3.w"] == "heads.a.weight"
    assert head.weight.tolist() == [[1.0, 1.0]]


def test_an_encoder_of_which_the_file_has_nothing_is_an_error() -> None:
    with pytest.raises(CheckpointError, match="4 tensors missing"):
        load({"other": torch.zeros(1)}, encoder(Part()), allow={"unexpected": ["*"]})


def test_old_names_are_read() -> None:
    module = Part()
    tensors = {"old_pooler" if name == "pooler" else name: t for name, t in WHOLE.items()}
    assert load(tensors, encoder(module)).used["old_pooler"] == "encoder.pooler"
    assert module.pooler.tolist() == [4.0]


def test_own_format_uses_canonical_names() -> None:
    module = Part()
    values = canonical_views(module, NAMES)
    tensors = {f"adapters.old.p.{name}": torch.ones_like(v) for name, v in values.items()}
    component = Component("adapters.new.p", NAMES, module, stored_prefix="adapters.old.p")
    report = load(tensors, component, format_="bertmod")
    assert report.used["adapters.old.p.query"] == "adapters.new.p.query"
    assert (module.qkv == 1).all()


def test_two_spellings_of_one_tensor() -> None:
    with pytest.raises(CheckpointError, match=r'"q" and "p\.q" are two spellings of one tensor'):
        load(WHOLE | {"p.q": WHOLE["q"]}, encoder(Part()))


def borrower(module: torch.nn.Module | None = None) -> Component:
    """A head with a bias of its own, whose weight is the encoder's ``query``."""
    names = [
        TensorName("bias", (2,), {"x": "h.b"}),
        TensorName("weight", (2, 2), {"x": "h.w"}, tied="query"),
    ]
    return Component("heads.a", names, module)


class Bias(torch.nn.Module):
    """What a head has that borrows its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(2))


def test_what_is_borrowed_must_repeat_the_encoders() -> None:
    whole = WHOLE | {"h.b": torch.ones(2), "h.w": WHOLE["q"]}
    report = load(whole, encoder(Part()), borrower(Bias()))
    assert report.used["h.w"] == "encoder.query"
    report = load(whole, encoder(None), borrower(Bias()))
    assert report.used == {"h.b": "heads.a.bias", "h.w": "encoder.query"}
    with pytest.raises(CheckpointError) as caught:
        load(whole | {"h.w": WHOLE["q"] + 1}, encoder(Part()), borrower(Bias()))
    assert str(caught.value) == (
        "ck does not fit the model\n"
        "  1 tensor differing from what they should repeat:\n"
        "      h.w (of encoder.query)"
    )
    allow = {"unequal": ["encoder.query"]}
    changed = whole | {"h.w": torch.ones(3, 2)}
    report = load(changed, encoder(Part()), borrower(Bias()), allow=allow)
    assert report.unequal == ("h.w",)


def test_what_is_borrowed_from_an_encoder_that_is_not_there() -> None:
    reason = "repeats encoder.query, which was not asked for"
    report = load({"h.b": torch.ones(2), "h.w": WHOLE["q"]}, borrower(Bias()))
    assert report.skipped == {"h.w": reason}
    report = load(WHOLE | {"h.b": torch.ones(2), "h.w": WHOLE["q"]}, encoder(Part()), borrower())
    assert report.skipped == dict.fromkeys(("h.b", "h.w"), "nobody asked for heads.a")


def test_values_that_fp32_cannot_hold_are_told_once() -> None:
    third = torch.full((2, 2), 1 / 3, dtype=torch.float64)
    tensors = WHOLE | {"q": third, "h.b": torch.ones(2), "h.w": third}
    report = load(tensors, encoder(Part()), borrower(Bias()))
    assert report.rounded == ("q", "h.w")
