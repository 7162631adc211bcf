"""The README of a model, whatever its names and labels hold."""

from __future__ import annotations

import json
from dataclasses import replace
from html import unescape

import pytest
from huggingface_hub import ModelCard as HubCard
from markdown import markdown

from bertmod import TaskInfo
from bertmod.model.card import ModelCard, TaskCard, render_card

NASTY = (
    "a|b",
    "`code`",
    "<b>",
    "line\nbreak",
    "*star*",
    "_a_b_",
    "[x](y)",
    "back\\slash",
    'quote"',
    "ü:#",
)
TASK = TaskCard(
    id="my_task",
    task={"name": "bertmod/cola", "id": "my_task"},
    head={"name": "bertmod/classification"},
    adapters=({"name": "bertmod/pals", "bottleneck_size": 24, "num_heads": 2},),
    info=TaskInfo(labels=NASTY),
    metric="dev/matthews",
    score=0.5,
    step=1200,
    num_parameters=12345,
    data={"CoLA/train.tsv": "ab" * 32},
)
CARD = ModelCard(
    title='pals: "best" | mean',
    made_from="Trained with bertmod.",
    encoder={"name": "bertmod/bert", "size": None, "hidden_size": 24},
    tokenizer={"name": "bertmod/wordpiece", "vocab": "vocab.txt"},
    encoder_hash="0f" * 32,
    num_parameters=1_000_000,
    tasks=(TASK,),
    recipe={"seed": 42},
    recipe_hash="cd" * 32,
    versions={"bertmod": "0.1.0"},
    use="Read it.",
)


def front_matter(text: str) -> dict[str, object]:
    """Keys before the Markdown; every value is JSON."""
    start, inside, _ = text.split("---\n", 2)
    assert start == ""
    return {
        key: json.loads(value)
        for key, value in (line.split(": ", 1) for line in inside.splitlines())
    }


def test_the_hub_reads_the_front_matter() -> None:
    assert front_matter(render_card(CARD)) == {
        "library_name": "bertmod",
        "tags": ["bertmod", "bert", "pals"],
        "pipeline_tag": "text-classification",
        "model-index": [
            {
                "name": 'pals: "best" | mean',
                "results": [
                    {
                        "task": {"type": "text-classification"},
                        "dataset": {"name": "my_task", "type": "cola"},
                        "metrics": [{"type": "matthews", "name": "dev/matthews", "value": 0.5}],
                    }
                ],
            }
        ],
    }


def test_the_hubs_own_library_reads_it() -> None:
    title = "a \u2028 title\x7f of 😀: 'one' \"two\""
    card = replace(CARD, title=title, checkpoint="hf:google-bert/bert-base-uncased@0a6aa9128b")
    found = HubCard(render_card(card)).data
    assert found.model_name == "a   title  of 😀: 'one' \"two\""
    assert found.base_model == "google-bert/bert-base-uncased"
    (result,) = found.eval_results
    assert (result.task_type, result.dataset_type, result.dataset_name, result.metric_type) == (
        *("text-classification", "cola", "my_task"),
        "matthews",
    )
    assert result.metric_value == 0.5
    assert "base_model" not in render_card(replace(CARD, checkpoint="bert-base-uncased"))


@pytest.mark.parametrize("score", [1e-5, -0.5, 12.3456789, 1.0])
def test_a_score_is_a_number_to_the_hub(score) -> None:
    (result,) = HubCard(
        render_card(replace(CARD, tasks=(replace(TASK, score=score),)))
    ).data.eval_results
    assert result.metric_value == round(score, 4)


def test_a_score_that_is_not_defined_is_no_result() -> None:
    text = render_card(replace(CARD, tasks=(replace(TASK, score=float("nan")),)))
    assert "model-index" not in text
    assert "| not defined |" in text


def test_an_encoder_alone() -> None:
    text = render_card(replace(CARD, tasks=()))
    assert "1,000,000 parameters. SHA-256 of its values: `0f" in text


def test_tasks_of_several_kinds_have_no_pipeline_and_unmeasured_ones_no_result() -> None:
    span = replace(TASK, id="squad", head={"name": "bertmod/span"}, score=None, adapters=())
    told = front_matter(render_card(replace(CARD, tasks=(replace(TASK, score=None), span))))
    assert told == {"library_name": "bertmod", "tags": ["bertmod", "bert", "pals"]}


def test_the_page_shows_every_name_as_it_is() -> None:
    page = markdown(render_card(CARD).split("---\n", 2)[2], extensions=["tables", "md_in_html"])
    shown_text = unescape(page)
    for label in NASTY:
        assert f"<code>{label}</code>" in shown_text
    for shown in (
        "dev/matthews 0.5000",
        "pals (bottleneck_size 24)",
        "12,345",
        "1.23%",
        "1,012,345, which is 1.01 times the encoder",
        "ab" * 32,
        "0f" * 32,
        "cd" * 32,
    ):
        assert shown in page
    assert page.count("<table>") == 5
    assert "null" not in page
    assert "my_task" in page


@pytest.mark.parametrize(
    ("info", "shown"),
    [
        (TaskInfo(value_range=(0.0, 5.0)), "a number from 0 to 5"),
        (TaskInfo(), "none"),
        (TaskInfo(labels=tuple(map(str, range(100)))), "`39` and 60 more"),
    ],
)
def test_what_the_answers_are(info, shown) -> None:
    text = render_card(replace(CARD, tasks=(replace(TASK, info=info),)))
    (line,) = (line for line in text.splitlines() if line.startswith("- my\\_task: "))
    assert line.endswith(shown)


def test_synthetic_data_is_said_to_be() -> None:
    assert "synthetic" not in render_card(CARD)
    assert "built-in sample, which is synthetic" in render_card(replace(CARD, synthetic=True))
