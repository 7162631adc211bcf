"""MNLI, RTE and QNLI: does one sentence follow from, contradict or answer another?"""

from collections.abc import Callable
from dataclasses import replace

from bertmod.sample import relations
from bertmod.sample.dice import Dice
from bertmod.sample.events import (
    Event,
    active,
    change,
    draw_event,
    person_phrase,
    place_phrase,
    render,
    reword,
    sentence,
    set_parts,
    thing_phrase,
)
from bertmod.sample.example import Example
from bertmod.sample.topics import KINDS, TOPICS, Topic

MATCHED_TOPICS = TOPICS[:4]
MISMATCHED_TOPICS = TOPICS[4:]
LABELS = ("entailment", "neutral", "contradiction")


def draw_inference(dice: Dice, label: str, *, topics: tuple[Topic, ...]) -> Example:
    """Give premise and hypothesis, label one of ``LABELS``."""
    premise = draw_event(dice, topics, adjectives=0.4, place=0.7, time=0.2)
    premise = replace(premise, negated=dice.chance(0.12))
    texts = sentence(render(dice, premise, passives=0.1)), _HYPOTHESES[label](dice, premise)
    return Example(texts, label, premise.topic.name)


def draw_entailment(dice: Dice, label: str) -> Example:
    """Give a text and a hypothesis, label entailment or not_entailment."""
    premise = draw_event(dice, TOPICS, adjectives=0.4, place=0.8, time=0.5)
    source = label if label in LABELS else dice.choice(LABELS[1:])
    texts = sentence(render(dice, premise, passives=0.1)), _HYPOTHESES[source](dice, premise)
    return Example(texts, label)


def _without_some_details(dice: Dice, event: Event) -> Event:
    """Leave out each modifier with probability one half; of a denial, none may be left out."""
    if event.negated:
        return event
    return set_parts(event, {part: empty for part, empty in _DETAILS if dice.chance(0.5)})


_DETAILS = (("person_adjective", ""), ("thing_adjective", ""), ("place", None), ("time", ""))


def _entailed(dice: Dice, premise: Event) -> str:
    """Reword, drop details, or name a class for a member of it."""
    event = reword(dice, _without_some_details(dice, premise), 0.3)
    kind = dice.index(4)
    if event.negated or kind < 2:
        return sentence(render(dice, event))
    if kind == 2:
        return sentence(active(replace(event, person="someone", person_adjective=""), article=""))
    hypernym = KINDS[premise.group.kind].hypernym
    return sentence(active(replace(event, thing=hypernym, thing_adjective="")))


def _neutral(dice: Dice, premise: Event) -> str:
    """Add a fact that the premise does not tell."""
    event = reword(dice, _without_some_details(dice, premise), 0.2)
    if dice.chance(0.75):
        return sentence(f"{active(replace(event, time=''))} {dice.choice(relations.EXTRAS)}")
    return sentence(f"{active(replace(event, time=''))} {dice.choice(relations.REASONS)}")


def _contradicted(dice: Dice, premise: Event) -> str:
    """Deny the premise, or change a part of it."""
    event = _without_some_details(dice, premise)
    kind = dice.index(5)
    if kind < 2 or event.negated or (kind == 4 and not premise.place):
        event = replace(event, negated=not event.negated)
    elif kind == 2 and relations.antonyms(event.verb):
        event = replace(event, verb=dice.choice(relations.antonyms(event.verb)))
    elif kind == 3:
        event = change(dice, event, "thing")
    else:
        event = change(dice, event, "place")
    return sentence(render(dice, reword(dice, event, 0.2)))


_HYPOTHESES: dict[str, Callable[[Dice, Event], str]] = {
    "entailment": _entailed,
    "neutral": _neutral,
    "contradiction": _contradicted,
}


def draw_answerability(dice: Dice, label: str) -> Example:
    """Give a question and a sentence, label entailment (it holds the answer) or not_entailment."""
    answered = label == "entailment"
    asked = dice.choice(tuple(_ASKED))
    event = draw_event(dice, TOPICS, adjectives=0.5, place=0, time=0)
    question = f"{asked} did {person_phrase(event)} {event.verb} {thing_phrase(event)}"
    told = reword(dice, event, 0.15)
    text = (
        f"{active(told)} {_ASKED[asked](dice, event)}"
        if answered
        else _no_answer(dice, told, asked)
    )
    return Example((sentence(question, "?"), sentence(text)), label)


def _no_answer(dice: Dice, event: Event, asked: str) -> str:
    """Tell nothing more, doubt, tell another circumstance, or tell of something else."""
    kind = dice.index(20)
    if kind < 7:
        return active(event)
    if kind < 12:
        return f"{dice.choice(_DOUBTS)} {asked} {active(event)}"
    if kind < 16:
        return f"{active(event)} {_ASKED[dice.other(tuple(_ASKED), asked)](dice, event)}"
    for part in ("person", "person_adjective", "verb", "thing", "thing_adjective"):
        event = change(dice, event, part)
    return f"{active(event)} {_ASKED[asked](dice, event)}"


_DOUBTS = ("nobody knows", "it is unclear", "it was never told")


def _where(dice: Dice, event: Event) -> str:
    return place_phrase(change(dice, event, "place"))


def _when(dice: Dice, _: Event) -> str:
    return dice.choice(relations.TIMES)


def _why(dice: Dice, _: Event) -> str:
    return dice.choice(relations.REASONS)


def _with_whom(dice: Dice, event: Event) -> str:
    return f"with the {dice.other(event.topic.people, event.person)}"


_ASKED: dict[str, Callable[[Dice, Event], str]] = {
    "where": _where,
    "when": _when,
    "why": _why,
    "with whom": _with_whom,
}
