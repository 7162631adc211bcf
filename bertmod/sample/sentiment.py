"""SST-2: is a review good or bad? Opinion words, degree, negation and contrast."""

from collections.abc import Callable

from bertmod.sample.dice import Dice
from bertmod.sample.example import Example
from bertmod.sample.relations import phrases

_ASPECTS = phrases(
    """film, movie, story, plot, acting, dialogue, ending, music, script, comedy, drama, direction,
    humor, pace, opening, camera work, final scene, leading actor, whole cast"""
)
_GOOD = phrases(
    """brilliant, charming, moving, funny, clever, warm, gripping, elegant, witty, honest,
    delightful, original, thoughtful, lively, superb, touching, fresh, powerful, wonderful"""
)
_BAD = phrases(
    """dull, boring, clumsy, stale, shallow, tedious, noisy, lazy, silly, predictable,
    awful, lifeless, confused, pointless, tiresome, bland, weak, messy, terrible"""
)
_OPINIONS = (_BAD, _GOOD)
_DEGREES = phrases("very, really, truly, often, rather, deeply, thoroughly, surprisingly")
_GOOD_VERDICTS = phrases(
    """a real pleasure, worth every minute, hard to forget, a small treasure,
    a complete success"""
)
_BAD_VERDICTS = phrases(
    """a waste of time, hard to sit through, easy to forget, not worth the ticket,
    a complete failure"""
)
_VERDICTS = (_BAD_VERDICTS, _GOOD_VERDICTS)


def draw_sentiment(dice: Dice, label: str) -> Example:
    """Give a review, label 1 (good) or 0, in lower case with spaced punctuation as in SST-2."""
    return Example((dice.choice(_FORMS)(dice, int(label)) + " ",), label)


def _opinion(dice: Dice, label: int) -> str:
    """Give an adjective, perhaps with a degree, or the negation of one of the other side."""
    if dice.chance(0.15):
        return f"{dice.choice(('not', 'never', 'hardly'))} {dice.choice(_OPINIONS[1 - label])}"
    degree = dice.choice(_DEGREES) + " " if dice.chance(0.45) else ""
    return degree + dice.choice(_OPINIONS[label])


def _plain(dice: Dice, label: int) -> str:
    return f"the {dice.choice(_ASPECTS)} is {_opinion(dice, label)} ."


def _pair(dice: Dice, label: int) -> str:
    aspect = dice.choice(_ASPECTS)
    return f"the {aspect} is {_opinion(dice, label)} and {_opinion(dice, label)} ."


def _fragment(dice: Dice, label: int) -> str:
    first, second = dice.some(_OPINIONS[label], 2)
    return f"a {dice.choice(_DEGREES)} {first} and {second} {dice.choice(_ASPECTS[:4])}"


def _contrast(dice: Dice, label: int) -> str:
    """The clause after ``but`` is the verdict."""
    first, second = dice.some(_ASPECTS, 2)
    concession = f"the {first} is {_opinion(dice, 1 - label)}"
    return f"{concession} , but the {second} is {_opinion(dice, label)} ."


def _verdict(dice: Dice, label: int) -> str:
    aspect = dice.choice(_ASPECTS)
    return f"with its {_opinion(dice, label)} {aspect} , this is {dice.choice(_VERDICTS[label])} ."


_FORMS: tuple[Callable[[Dice, int], str], ...] = (
    *(_plain, _pair, _fragment, _verdict) * 2,
    _contrast,
)
