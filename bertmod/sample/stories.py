"""Text in documents: short reports of what people did, each about one of them."""

from __future__ import annotations

from bertmod.sample.dice import Dice
from bertmod.sample.events import Event, draw_event, render, reword, sentence, set_parts
from bertmod.sample.topics import PERSON_ADJECTIVES, TOPICS

NUM_STORIES = 400
SEED = 31
SHORTEST, LONGEST = 5, 9
"""Sentences of a story."""


def stories() -> list[list[str]]:
    """The sample's text: a list of sentences for each story, the same everywhere."""
    dice = Dice(SEED)
    return [_story(dice) for _ in range(NUM_STORIES)]


def corpus_text() -> str:
    """The stories with a sentence a line and a blank line between them."""
    return "\n".join("".join(f"{line}\n" for line in story) for story in stories())


def _story(dice: Dice) -> list[str]:
    """Sentences about one person of one topic, some of them told again in other words."""
    first = draw_event(dice, TOPICS, adjectives=0.0, place=1.0)
    about: dict[str, object] = {
        "person": first.person,
        "person_adjective": dice.choice(PERSON_ADJECTIVES),
    }
    told: list[Event] = []
    for _ in range(SHORTEST + dice.index(LONGEST - SHORTEST + 1)):
        if told and dice.chance(0.3):
            told.append(reword(dice, told[-1], 0.5))
        else:
            told.append(set_parts(draw_event(dice, (first.topic,), adjectives=0.3), about))
    return [sentence(render(dice, event)) for event in told]
