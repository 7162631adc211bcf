"""The sample's topics: people, things, actions and places, and adjectives that fit them.

All lists were written for bertmod; nothing is taken from a data set. Every list is ordered, because
a choice from it must not depend on hashing.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where something happens.

    Args:
        noun: The place's noun, such as ``kitchen``.
        preposition: What stands before it, such as ``in``.
    """

    noun: str
    preposition: str


@dataclass(frozen=True)
class Group:
    """Things of one class with the actions that can be done to each of them.

    Args:
        kind: Class of the things, a key of ``KINDS``.
        things: Nouns, singular, at least three.
        verbs: Base forms, at least three.
    """

    kind: str
    things: tuple[str, ...]
    verbs: tuple[str, ...]


@dataclass(frozen=True)
class Topic:
    """A field of life with its vocabulary.

    Args:
        name: Short name, used as MNLI's genre.
        people: Nouns for who acts, singular.
        groups: What is acted on.
        places: Where it happens.
    """

    name: str
    people: tuple[str, ...]
    groups: tuple[Group, ...]
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Kind:
    """What is said about a class of things.

    Args:
        hypernym: A noun that covers all of them.
        adjectives: Adjectives that fit them.
    """

    hypernym: str
    adjectives: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _group(kind: str, things: str, verbs: str) -> Group:
    return Group(kind, _words(things), _words(verbs))


def _places(text: str) -> tuple[Place, ...]:
    """Parse ``preposition/noun`` entries."""
    pairs = (entry.split("/") for entry in text.split())
    return tuple(Place(noun, preposition) for preposition, noun in pairs)


HOME = Topic(
    "home",
    _words("boy girl mother father uncle aunt child neighbor guest cousin"),
    (
        _group("fitting", "door window gate box", "open close paint repair clean"),
        _group("food", "soup rice fish cake", "cook buy taste share"),
        _group("object", "ball key letter toy", "hide find drop take"),
    ),
    _places("in/kitchen in/garden in/garage in/bedroom in/cellar in/yard"),
)
CITY = Topic(
    "city",
    _words("doctor lawyer driver clerk manager waiter nurse guard mechanic tailor"),
    (
        _group("vehicle", "car truck bike bus", "repair sell clean buy rent"),
        _group("object", "ticket phone watch ring", "buy sell lose find"),
        _group("object", "bag parcel suitcase basket", "carry deliver check open"),
    ),
    _places("in/office at/hotel at/market at/station in/hospital in/street"),
)
FARM = Topic(
    "farm",
    _words("farmer hunter ranger shepherd gardener sailor rider miller woman man"),
    (
        _group("animal", "horse cow goat dog", "feed chase catch sell clean"),
        _group("plant", "tree rose bush vine", "plant water move touch"),
        _group("building", "barn wall bridge cabin", "build destroy paint visit"),
    ),
    _places("in/field in/forest in/stable at/river on/hill in/village"),
)
SCHOOL = Topic(
    "school",
    _words("teacher student professor pupil scientist writer librarian editor tutor reporter"),
    (
        _group("text", "book article essay poem", "study print borrow copy"),
        _group("thought", "problem puzzle question riddle", "solve explain discuss ignore"),
        _group("thought", "plan offer idea report", "accept reject present change"),
    ),
    _places("in/library in/classroom in/laboratory at/school in/museum in/courtyard"),
)
STAGE = Topic(
    "stage",
    _words("singer painter dancer actor pianist drummer sculptor poet director clown"),
    (
        _group("show", "song comedy dance concert", "perform praise criticize record"),
        _group("object", "portrait picture statue mask", "admire sell show damage"),
        _group("instrument", "guitar piano drum violin", "tune rent clean move"),
    ),
    _places("at/theater in/studio in/gallery on/stage in/club in/square"),
)
SPORT = Topic(
    "sport",
    _words("player coach runner swimmer boxer captain referee skater cyclist champion"),
    (
        _group("show", "race match game contest", "win lose start finish observe"),
        _group("object", "trophy medal prize flag", "lift drop receive show polish"),
        _group("object", "helmet racket glove jersey", "forget clean borrow throw"),
    ),
    _places("in/stadium in/gym at/pool in/park in/arena on/track"),
)
TOPICS = (HOME, CITY, FARM, SCHOOL, STAGE, SPORT)

_COLORS = "red blue green white black"
KINDS = {
    "fitting": Kind("object", _words(f"old new big small dirty {_COLORS}")),
    "object": Kind("object", _words(f"old new big small heavy light cheap expensive {_COLORS}")),
    "food": Kind("food", _words("fresh stale hot cold sweet cheap expensive")),
    "vehicle": Kind("vehicle", _words(f"old new big small cheap expensive dirty {_COLORS}")),
    "animal": Kind("animal", _words("young old big small hungry brown white black")),
    "plant": Kind("plant", _words("young old big small dry green")),
    "building": Kind("building", _words("old new big small narrow wide white red")),
    "text": Kind("text", _words("old new short long simple difficult strange")),
    "thought": Kind("matter", _words("old new simple difficult strange important")),
    "show": Kind("event", _words("short long simple difficult strange famous")),
    "instrument": Kind("instrument", _words("old new heavy light cheap expensive black white")),
}
PERSON_ADJECTIVES = _words(
    "young old tall short happy sad rich poor smart tired famous shy brave quiet"
)
