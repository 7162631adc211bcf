"""How the sample's words relate, and the phrases that sentences end with."""


def phrases(text: str) -> tuple[str, ...]:
    """Give the comma-separated phrases of a text; line breaks count as spaces."""
    return tuple(" ".join(phrase.split()) for phrase in text.split(","))


def _rows(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(phrase.split()) for phrase in phrases(text))


DAYS = phrases(
    """on Monday, on Tuesday, on Wednesday, on Thursday, on Friday, on Saturday, on Sunday"""
)
TIMES = DAYS + phrases(
    "yesterday, last week, last night, in the morning, in the evening, at noon, after lunch"
)
REASONS = phrases(
    """because it was late, because it was cold, because it was necessary, because of the rain,
    because of the noise, because of a promise, because someone asked"""
)
EXTRAS = phrases(
    """with a friend, for the first time, to earn some money, in a great hurry, to win a bet,
    as a gift for a friend, without any help, with great pleasure, for the whole family,
    before the others arrived"""
)

# The first word of a row is its meaning; the others may stand for it.
SYNONYMS = _rows(
    """close shut, repair fix, clean wash, buy purchase, cook prepare, find discover, take grab,
    deliver bring, check inspect, catch capture, chase pursue, build construct, destroy demolish,
    explain clarify, discuss debate, reject refuse, praise applaud, record tape, start begin,
    finish complete, observe view, receive get, throw toss, move shift, rent hire, study read,
    copy duplicate, damage harm, lift raise, child kid, doctor physician, lawyer attorney,
    manager boss, teacher instructor, reporter journalist, writer author, coach trainer,
    champion winner, woman lady, guard watchman, sailor seaman, singer vocalist,
    professor lecturer, farmer grower, car automobile, bike bicycle, phone telephone,
    picture painting, prize award, bag sack, parcel package, box crate, cabin hut, match duel,
    idea notion, bush shrub, street road, hotel inn, forest woods, river stream, garden backyard,
    office bureau, big large, small little, smart clever, happy cheerful, sad unhappy,
    rich wealthy, expensive costly, tired weary, famous renowned, difficult hard, simple easy,
    strange odd, quiet silent, brave bold, hungry starving"""
)
ANTONYMS = _rows(
    """open close, buy sell, hide find, drop take, find lose, build destroy, solve ignore,
    accept reject, praise criticize, win lose, start finish, lift drop, discuss ignore"""
)


def synonyms(word: str) -> tuple[str, ...]:
    """Give all words with the meaning ``word``, itself first."""
    return _SYNONYMS_OF.get(word, (word,))


def antonyms(verb: str) -> tuple[str, ...]:
    """Give the actions that exclude ``verb``, possibly none, in the order of the list."""
    pairs = [pair for pair in ANTONYMS if verb in pair]
    return tuple(second if first == verb else first for first, second in pairs)


_SYNONYMS_OF = {row[0]: row for row in SYNONYMS}
