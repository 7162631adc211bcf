"""CoLA: is a sentence grammatical? Agreement, reflexives and word order."""

from collections.abc import Callable

from bertmod.sample.dice import Dice
from bertmod.sample.events import sentence
from bertmod.sample.example import Example
from bertmod.sample.inflection import participle, past, plural, third_person
from bertmod.sample.relations import TIMES, phrases
from bertmod.sample.topics import PERSON_ADJECTIVES, TOPICS, Topic

_DETERMINERS = (("this", "every", "each", "one"), ("these", "many", "several", "two"))
_AUXILIARIES = (("is", "was", "has"), ("are", "were", "have"))
_MEN = ("boy", "father", "uncle", "man", "king", "brother")
_WOMEN = ("girl", "mother", "aunt", "woman", "queen", "sister")
_IRREGULAR_VERBS = phrases(
    "find, take, hide, buy, sell, lose, catch, throw, bring, see, know, teach"
)
_NO_WORDS = ("hisself", "theirselves", "sheself", "themself")
_REFLEXIVE_VERBS = ("see", "hurt", "praise", "clean", "criticize", "teach", "know", "ask")


def draw_acceptability(dice: Dice, label: str) -> Example:
    """Give a sentence, label 1 (grammatical) or 0."""
    return Example((sentence(dice.choice(_KINDS)(dice, label == "1")),), label)


def _number(dice: Dice) -> int:
    return dice.index(2)


def _noun(noun: str, number: int) -> str:
    return plural(noun) if number else noun


def _verb(verb: str, number: int) -> str:
    return verb if number else third_person(verb)


def _subject(dice: Dice, topic: Topic, number: int, determiner: str = "the") -> str:
    adjective = dice.choice(PERSON_ADJECTIVES) + " " if dice.chance(0.25) else ""
    return f"{determiner} {adjective}{_noun(dice.choice(topic.people[:4]), number)}"


def _place(dice: Dice, topic: Topic) -> str:
    place = dice.choice(topic.places)
    return f"{place.preposition} the {place.noun}"


def _verb_agreement(dice: Dice, good: bool) -> str:
    """The boys open the door: subject and verb share their number."""
    topic, number = dice.choice(TOPICS), _number(dice)
    group = dice.choice(topic.groups)
    verb = _verb(dice.choice(group.verbs[:2]), number if good else 1 - number)
    where = " " + _place(dice, topic) if dice.chance(0.3) else ""
    thing = _noun(dice.choice(group.things), _number(dice))
    return f"{_subject(dice, topic, number)} {verb} the {thing}{where}"


def _determiner_agreement(dice: Dice, good: bool) -> str:
    """These boys opened the door: determiner and noun share their number."""
    topic, number = dice.choice(TOPICS), _number(dice)
    group = dice.choice(topic.groups)
    determiner = dice.choice(_DETERMINERS[number if good else 1 - number])
    subject = _subject(dice, topic, number, determiner)
    where = " " + _place(dice, topic) if dice.chance(0.5) else ""
    return f"{subject} {past(dice.choice(group.verbs[:2]))} the {dice.choice(group.things)}{where}"


def _auxiliary_agreement(dice: Dice, good: bool) -> str:
    """The boys were in the garden, or have opened the door: the auxiliary follows the subject."""
    topic, number = dice.choice(TOPICS), _number(dice)
    group = dice.choice(topic.groups)
    auxiliary = dice.choice(_AUXILIARIES[number if good else 1 - number])
    rest = _place(dice, topic)
    if auxiliary in ("has", "have"):
        rest = f"{participle(dice.choice(group.verbs[:2]))} the {dice.choice(group.things)}"
    return f"{_subject(dice, topic, number)} {auxiliary} {rest}"


def _reflexive(dice: Dice, good: bool) -> str:
    """The girl taught herself: the reflexive follows gender and number, and has one form."""
    number, female = _number(dice), dice.chance(0.5)
    noun = dice.choice(_WOMEN if female else _MEN)
    right = "themselves" if number else "herself" if female else "himself"
    pronoun = right
    if not good:
        wrong = _NO_WORDS if dice.chance(0.6) else ("themselves", "herself", "himself")
        pronoun = dice.other(wrong, right)
    when = " " + dice.choice(TIMES) if dice.chance(0.5) else ""
    return f"the {_noun(noun, number)} {past(dice.choice(_REFLEXIVE_VERBS))} {pronoun}{when}"


def _word_order(dice: Dice, good: bool) -> str:
    """The boy opened the door: articles precede nouns and the verb stands between them."""
    topic = dice.choice(TOPICS)
    group = dice.choice(topic.groups)
    person = _noun(dice.choice(topic.people[:4]), _number(dice))
    verb, thing = past(dice.choice(group.verbs[:2])), dice.choice(group.things)
    where = _place(dice, topic)
    if good:
        return f"the {person} {verb} the {thing} {where}"
    return dice.choice(
        (
            f"the {person} {verb} {thing} the {where}",
            f"{person} the {verb} the {thing} {where}",
            f"the {person} the {thing} {verb} {where}",
            f"{verb} the {person} the {thing} {where}",
        )
    )


def _inflection(dice: Dice, good: bool) -> str:
    """The man caught the dog, not *catched*: irregular forms."""
    topic = dice.choice(TOPICS)
    place = _place(dice, topic)
    if dice.chance(0.3):
        noun = dice.choice(("child", "man", "woman"))
        form = plural(noun) if good else noun + "s"
        return f"the {form} {dice.choice(('waited', 'rested', 'worked'))} {place}"
    verb = dice.choice(_IRREGULAR_VERBS)
    person, thing = dice.choice(topic.people), dice.choice(dice.choice(topic.groups).things)
    form = past(verb) if good else verb + ("d" if verb.endswith("e") else "ed")
    return f"the {person} {form} the {thing} {place}"


_KINDS: tuple[Callable[[Dice, bool], str], ...] = (
    _verb_agreement,
    _determiner_agreement,
    _auxiliary_agreement,
    _word_order,
    *(_reflexive,) * 2,
    *(_inflection,) * 4,
)
