"""Events that sentences tell: drawing one, changing a part, and wording it in several ways."""

from dataclasses import dataclass, replace

from bertmod.sample import inflection, relations
from bertmod.sample.dice import Dice
from bertmod.sample.topics import KINDS, PERSON_ADJECTIVES, Group, Place, Topic


@dataclass(frozen=True)
class Event:
    """Somebody did something to a thing; empty strings and None are parts left untold.

    Args:
        topic: Where the words come from.
        group: Group of the thing and the verb.
        person: Who acted, a singular noun.
        person_adjective: What the person is like, or empty.
        verb: What was done, base form.
        thing: What it was done to, a singular noun.
        thing_adjective: What the thing is like, or empty.
        place: Where, or None.
        time: When, a whole phrase, or empty.
        negated: Whether it did *not* happen.
    """

    topic: Topic
    group: Group
    person: str
    person_adjective: str
    verb: str
    thing: str
    thing_adjective: str
    place: Place | None
    time: str
    negated: bool = False


def draw_event(
    dice: Dice,
    topics: tuple[Topic, ...],
    *,
    adjectives: float = 0.5,
    place: float = 0.7,
    time: float = 0.4,
) -> Event:
    """Give a random event.

    Args:
        dice: Source of the choices.
        topics: Topics to choose from.
        adjectives: Probability of each of the two adjectives, in ``[0, 1]``.
        place: Probability of a place, in ``[0, 1]``.
        time: Probability of a time, in ``[0, 1]``.
    """
    topic = dice.choice(topics)
    group = dice.choice(topic.groups)
    return Event(
        topic=topic,
        group=group,
        person=dice.choice(topic.people),
        person_adjective=dice.choice(PERSON_ADJECTIVES) if dice.chance(adjectives) else "",
        verb=dice.choice(group.verbs),
        thing=dice.choice(group.things),
        thing_adjective=dice.choice(_thing_adjectives(group)) if dice.chance(adjectives) else "",
        place=dice.choice(topic.places) if dice.chance(place) else None,
        time=dice.choice(relations.TIMES) if dice.chance(time) else "",
    )


def _thing_adjectives(group: Group) -> tuple[str, ...]:
    return KINDS[group.kind].adjectives


def change(dice: Dice, event: Event, part: str) -> Event:
    """Give the event with another value in one part, which is told even if it was not before.

    Args:
        dice: Source of the choice.
        event: What to change.
        part: Name of a field that is drawn: not ``topic``, ``group`` or ``negated``.
    """
    pools: dict[str, tuple[object, ...]] = {
        "person": event.topic.people,
        "person_adjective": PERSON_ADJECTIVES,
        "verb": event.group.verbs,
        "thing": event.group.things,
        "thing_adjective": _thing_adjectives(event.group),
        "place": event.topic.places,
        "time": relations.TIMES,
    }
    return set_parts(event, {part: dice.other(pools[part], getattr(event, part))})


def set_parts(event: Event, values: dict[str, object]) -> Event:
    """Give the event with other values in some parts, by field name."""
    return replace(event, **values)  # type: ignore[arg-type]


def reword(dice: Dice, event: Event, probability: float) -> Event:
    """Give the event with words replaced by synonyms, each with a probability in ``[0, 1]``."""

    def pick(word: str) -> str:
        options = relations.synonyms(word)
        return dice.choice(options[1:]) if len(options) > 1 and dice.chance(probability) else word

    place = event.place
    return replace(
        event,
        person=pick(event.person),
        person_adjective=pick(event.person_adjective),
        verb=pick(event.verb),
        thing=pick(event.thing),
        thing_adjective=pick(event.thing_adjective),
        place=place and replace(place, noun=pick(place.noun)),
    )


def person_phrase(event: Event, article: str = "the") -> str:
    """Give the acting person with article and adjective."""
    return _join(article, event.person_adjective, event.person)


def thing_phrase(event: Event, article: str = "the") -> str:
    """Give the thing with article and adjective."""
    return _join(article, event.thing_adjective, event.thing)


def place_phrase(event: Event) -> str:
    """Give the place with its preposition, or nothing."""
    return f"{event.place.preposition} the {event.place.noun}" if event.place else ""


def active(event: Event, *, article: str = "the") -> str:
    """Give the event as an active clause; ``article`` stands before the person."""
    verb = f"did not {event.verb}" if event.negated else inflection.past(event.verb)
    return _join(
        person_phrase(event, article), verb, thing_phrase(event), place_phrase(event), event.time
    )


def passive(event: Event) -> str:
    """Give the event as a passive clause, place and time last."""
    verb = ("was not " if event.negated else "was ") + inflection.participle(event.verb)
    return _join(
        thing_phrase(event), verb, "by", person_phrase(event), place_phrase(event), event.time
    )


def fronted(event: Event) -> str:
    """Give the event as an active clause that begins with the time or place, if it has one."""
    if event.time:
        return f"{event.time} , {active(replace(event, time=''))}"
    if event.place:
        return f"{place_phrase(event)} , {active(replace(event, place=None))}"
    return active(event)


def render(dice: Dice, event: Event, *, passives: float = 0.2, fronting: float = 0.15) -> str:
    """Give the event as a clause in a random order; the two probabilities sum to at most 1."""
    draw = dice.fraction()
    if draw < passives:
        return passive(event)
    return fronted(event) if draw < passives + fronting else active(event)


def sentence(clause: str, mark: str = ".") -> str:
    """Give a clause as a written sentence: capital, ``an`` before vowels, closing mark."""
    words = clause.split()
    for position, word in enumerate(words[:-1]):
        if word == "a" and words[position + 1][0] in "aeio":
            words[position] = "an"
    text = " ".join(words).replace(" ,", ",")
    return text[0].upper() + text[1:] + mark


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)
