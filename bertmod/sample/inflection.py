"""Forms of the sample's verbs and nouns."""

# Base, third person, past, and the participle where it differs from the past.
_IRREGULAR_VERBS = """
find finds found, take takes took taken, hide hides hid hidden, buy buys bought,
sell sells sold, lose loses lost, feed feeds fed, catch catches caught, build builds built,
win wins won, begin begins began begun, get gets got, throw throws threw thrown,
forget forgets forgot forgotten, bring brings brought, read reads read, shut shuts shut,
show shows showed shown, drop drops dropped, see sees saw seen, hurt hurts hurt,
grab grabs grabbed, teach teaches taught, know knows knew known
"""
_IRREGULAR = {
    forms[0]: (forms[1], forms[2], forms[-1])
    for forms in (entry.split() for entry in _IRREGULAR_VERBS.split(","))
}
_PLURALS = {
    "child": "children",
    "woman": "women",
    "man": "men",
    "watchman": "watchmen",
    "seaman": "seamen",
}


def third_person(verb: str) -> str:
    """Give the present form after a singular subject: ``carries`` for ``carry``."""
    return _IRREGULAR[verb][0] if verb in _IRREGULAR else _add_s(verb)


def past(verb: str) -> str:
    """Give the simple past: ``carried`` for ``carry``."""
    return _IRREGULAR[verb][1] if verb in _IRREGULAR else _add_ed(verb)


def participle(verb: str) -> str:
    """Give the past participle: ``hidden`` for ``hide``."""
    return _IRREGULAR[verb][2] if verb in _IRREGULAR else _add_ed(verb)


def plural(noun: str) -> str:
    """Give the plural: ``boxes`` for ``box``."""
    return _PLURALS.get(noun) or _add_s(noun)


def _ends_in_consonant_y(word: str) -> bool:
    return word.endswith("y") and word[-2] not in "aeiou"


def _add_s(word: str) -> str:
    if _ends_in_consonant_y(word):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")


def _add_ed(verb: str) -> str:
    if _ends_in_consonant_y(verb):
        return verb[:-1] + "ied"
    return verb + ("d" if verb.endswith("e") else "ed")
