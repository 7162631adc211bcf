"""The grammar behind the sample."""

from collections import Counter
from dataclasses import replace

import pytest

from bertmod.sample.dice import Dice
from bertmod.sample.events import active, change, draw_event, fronted, passive, reword, sentence
from bertmod.sample.inference import MATCHED_TOPICS, draw_entailment, draw_inference
from bertmod.sample.inflection import participle, past, plural, third_person
from bertmod.sample.paraphrase import STS_WEIGHTS, draw_graded_pair
from bertmod.sample.relations import SYNONYMS, antonyms, synonyms
from bertmod.sample.topics import FARM, TOPICS, Place

EVENT = replace(
    draw_event(Dice(0), (FARM,)),
    person="farmer",
    person_adjective="old",
    verb="hide",
    thing="apple",
    thing_adjective="",
    place=Place("barn", "in"),
    time="on Monday",
)


def test_dice_repeat_themselves() -> None:
    assert [Dice(5).index(100) for _ in range(3)] == [62, 62, 62]
    dice = Dice(5)
    assert [dice.index(100) for _ in range(4)] == [62, 74, 79, 94]


def test_some_gives_each_position_once() -> None:
    assert sorted(Dice(1).some("abcd", 4)) == list("abcd")


def test_other_never_gives_the_taken_one() -> None:
    dice = Dice(2)
    assert Counter(dice.other("abc", "b") for _ in range(50)).keys() == {"a", "c"}


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("carry", ("carries", "carried", "carried")),
        ("play", ("plays", "played", "played")),
        ("wash", ("washes", "washed", "washed")),
        ("hide", ("hides", "hid", "hidden")),
        ("catch", ("catches", "caught", "caught")),
    ],
)
def test_verb_forms(verb: str, forms: tuple[str, str, str]) -> None:
    assert (third_person(verb), past(verb), participle(verb)) == forms


@pytest.mark.parametrize(
    ("noun", "many"), [("box", "boxes"), ("child", "children"), ("boy", "boys"), ("city", "cities")]
)
def test_plurals(noun: str, many: str) -> None:
    assert plural(noun) == many


def test_clauses() -> None:
    assert active(EVENT) == "the old farmer hid the apple in the barn on Monday"
    assert passive(EVENT) == "the apple was hidden by the old farmer in the barn on Monday"
    assert fronted(EVENT) == "on Monday , the old farmer hid the apple in the barn"
    denied = replace(EVENT, negated=True, place=None, time="")
    assert active(denied) == "the old farmer did not hide the apple"
    assert passive(denied) == "the apple was not hidden by the old farmer"


def test_sentences() -> None:
    assert sentence("on Monday , a old farmer slept") == "On Monday, an old farmer slept."
    assert sentence("who hid a pear", "?") == "Who hid a pear?"


def test_change_never_gives_the_same_value_or_a_synonym() -> None:
    dice = Dice(3)
    for _ in range(200):
        event = draw_event(dice, TOPICS)
        other = change(dice, event, "person")
        assert other.person not in synonyms(event.person)
        assert replace(other, person=event.person) == event


def test_reword_keeps_the_meaning() -> None:
    dice = Dice(4)
    for _ in range(200):
        event = draw_event(dice, TOPICS)
        again = reword(dice, event, 1.0)
        assert again.thing in synonyms(event.thing)
        assert again.verb in synonyms(event.verb)


def test_no_word_has_two_meanings_in_one_topic() -> None:
    others = {word: row[0] for row in SYNONYMS for word in row[1:]}
    for topic in TOPICS:
        people, things, places = set(topic.people), set(), {place.noun for place in topic.places}
        verbs: set[str] = set()
        for group in topic.groups:
            things.update(group.things)
            verbs.update(group.verbs)
        for words in (people, things, verbs, places):
            assert not words & others.keys(), words & others.keys()


def test_antonyms_go_both_ways() -> None:
    assert "sell" in antonyms("buy")
    assert "buy" in antonyms("sell")
    assert antonyms("paint") == ()


def test_weights_of_similarity_sum_to_the_top_score() -> None:
    assert sum(STS_WEIGHTS.values()) == pytest.approx(5.0)


def test_a_pair_without_differences_scores_near_the_top() -> None:
    dice = Dice(6)
    pairs = [draw_graded_pair(dice, "") for _ in range(300)]
    equal = [pair for pair in pairs if pair.texts[0] == pair.texts[1]]
    assert equal
    assert all(float(pair.label) >= 4.8 for pair in equal)


def test_entailment_has_two_labels_and_inference_three() -> None:
    dice = Dice(7)
    assert draw_entailment(dice, "not_entailment").label == "not_entailment"
    example = draw_inference(dice, "neutral", topics=MATCHED_TOPICS)
    assert example.label == "neutral"
    assert example.genre in {topic.name for topic in MATCHED_TOPICS}
