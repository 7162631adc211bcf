"""MRPC, QQP and STS-B: do two sentences say the same, and how much of it?"""

from dataclasses import replace

from bertmod.sample.dice import Dice
from bertmod.sample.events import (
    Event,
    change,
    draw_event,
    place_phrase,
    reword,
    sentence,
    set_parts,
    thing_phrase,
)
from bertmod.sample.example import Example
from bertmod.sample.inflection import third_person
from bertmod.sample.relations import DAYS
from bertmod.sample.topics import TOPICS, Place

_SPEAKERS = ("police", "officials", "residents", "witnesses", "reporters")
_PLANS = ("may", "refuses to", "hopes to", "did not", "wants to", "fails to")


def draw_news_pair(dice: Dice, label: str) -> Example:
    """Give two news lines, label 1 (same news) or 0 (something important differs)."""
    same = label == "1"
    event = replace(_headline_event(dice), place=None, time=dice.choice(DAYS))
    speaker = dice.choice(_SPEAKERS)
    plans = [dice.choice(_PLANS)] * 2 if dice.chance(0.08) else ["", ""]
    other = event
    if not same and dice.chance(0.75):
        plans = dice.some(("", dice.choice(_PLANS)), 2)
    elif not same:
        other = _other_news(dice, event)
    first = _news(dice, event, speaker, plan=plans[0])
    return _pair(first, _news(dice, reword(dice, other, 0.15), speaker, plan=plans[1]), same)


def _headline_event(dice: Dice) -> Event:
    return replace(draw_event(dice, TOPICS, adjectives=1, place=1, time=0), person_adjective="")


def _news(dice: Dice, event: Event, speaker: str, *, plan: str) -> str:
    """Give a headline with its source; a ``plan`` says that it has not happened."""
    clause = f"{_headline(event, plan)} {event.time}"
    return f"{speaker} say {clause}" if dice.chance(0.5) else f"{clause} , {speaker} say"


def _headline(event: Event, before_verb: str = "") -> str:
    """Give the event without articles, as the press does."""
    verb = f"{before_verb} {event.verb}" if before_verb else third_person(event.verb)
    place = f"{event.place.preposition} {event.place.noun}" if event.place else ""
    return " ".join(f"{event.person} {verb} {event.thing_adjective} {event.thing} {place}".split())


def _other_news(dice: Dice, event: Event) -> Event:
    """Change some of the parts that make the news."""
    for part in dice.some(
        ("person", "verb", "thing", "thing_adjective", "time"), dice.choice((1, 3, 4, 4, 5))
    ):
        event = change(dice, event, part)
    return event


def _pair(first: str, second: str, same: bool, *, mark: str = "") -> Example:
    return Example((sentence(first, mark), sentence(second, mark)), "1" if same else "0")


# Question forms by what is asked; the forms of one row ask the same.
_QUESTIONS = (
    ("how do I {}", "how can I {}", "how should I {}"),
    ("why do people {}", "why should people {}", "why would people {}"),
    ("how much is it to {}", "how expensive is it to {}", "how costly is it to {}"),
    ("how long does it take to {}", "how many hours does it take to {}"),
    ("who can help me {}", "who could help me {}", "who will help me {}"),
    ("is it wise to {}", "is it sensible to {}", "is it clever to {}"),
)
_LIMITS = (
    "for free",
    "without tools",
    "without any help",
    "in winter",
    "in one day",
    "with children",
)


def draw_question_pair(dice: Dice, label: str) -> Example:
    """Give two questions, label 1 (same question) or 0."""
    same = label == "1"
    event = _headline_event(dice)
    asked = dice.choice(_QUESTIONS)
    limits = [dice.choice(_LIMITS)] * 2 if dice.chance(0.1) else ["", ""]
    other, asked_again = event, asked
    if not same and dice.chance(0.75):
        limits = dice.some(("", dice.choice(_LIMITS)), 2)
    elif not same:
        other, asked_again = _other_question(dice, event, asked)
    first = _question(dice, event, asked, limit=limits[0])
    second = _question(dice, reword(dice, other, 0.15), asked_again, limit=limits[1])
    return _pair(first, second, same, mark="?")


def _other_question(
    dice: Dice, event: Event, asked: tuple[str, ...]
) -> tuple[Event, tuple[str, ...]]:
    """Ask something else: in another way, about another action or thing, or about both."""
    kind = dice.index(4)
    if kind == 0:
        return event, dice.other(_QUESTIONS, asked)
    if kind == 1:
        return change(dice, event, dice.choice(("verb", "thing"))), asked
    for part in ("verb", "thing", "thing_adjective", "place"):
        event = change(dice, event, part)
    return event, asked


def _question(dice: Dice, event: Event, asked: tuple[str, ...], *, limit: str) -> str:
    action = f"{event.verb} {thing_phrase(event, 'a')} {place_phrase(event)} {limit}"
    return dice.choice(asked).format(action)


# Weight of each part in the similarity; they sum to 5, the top of STS-B's scale.
STS_WEIGHTS = {"person": 1.2, "verb": 1.2, "thing_adjective": 0.6, "thing": 1.2, "place": 0.8}
_VAGUE: dict[str, dict[str, object]] = {
    "person": {"person": "someone"},
    "thing_adjective": {"thing_adjective": ""},
    "thing": {"thing": "something", "thing_adjective": ""},
    "place": {"place": Place("somewhere", "")},
}


def draw_graded_pair(dice: Dice, _: str) -> Example:
    """Give two headlines with a similarity in ``[0, 5]``: how many of the five parts agree."""
    event = _headline_event(dice)
    rate = dice.choice((0.0, 0.1, 0.4, 0.7, 0.9))
    apart = [part for part in STS_WEIGHTS if dice.chance(rate)]
    score = 5.0 - sum(STS_WEIGHTS[part] for part in apart) + 0.4 * (dice.index(11) - 5) / 10
    second, first = dice.some((_headline(event), _apart(dice, event, apart)), 2)
    label = f"{min(5.0, max(0.0, score)):.3f}"
    return Example((sentence(first, ""), sentence(second, "")), label)


def _apart(dice: Dice, event: Event, parts: list[str]) -> str:
    """Tell the event with some parts vague, denied or, now and then, changed."""
    denial = ""
    for part in parts:
        if dice.chance(0.15):
            event = change(dice, event, part)
        elif part == "verb":
            denial = "does not"
        else:
            event = set_parts(event, _VAGUE[part])
    return _headline(reword(dice, event, 0.15), denial)
