"""Search words: what an item is found by, and the same of a query.

A text is normalized (NFKC) and casefolded. Letters, marks and digits make words; everything else
separates them. Scripts that put no spaces between words are found by any part of a run of their
characters: it is stored as pairs of neighbours, whose places tell which pairs follow each other.

All of this is done here and nothing by PostgreSQL, for which lower case and letters depend on its
version and on the locale of the database.
"""

import re
from collections.abc import Mapping, Sequence
from operator import add
from typing import Any, Final
from unicodedata import category, normalize

# Han, Bopomofo, Hiragana, Katakana, Thai, Lao, Burmese, Khmer and the scripts of the Tai languages.
_UNSPACED: Final = (
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf"
)
_RUN: Final = re.compile(f"[{_UNSPACED}]+")
_RUN_OR_REST: Final = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
# Letters and marks that show nothing, or select how another character is shown. Format characters,
# such as those without width, come to them.
_UNSEEN: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u20e3\u3164\uffa0"
).union(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
_ASCII: Final = {code: " " for code in range(128) if not chr(code).isalnum()}

# More marks on a letter are no text, and the time to sort them grows with the square of their
# number.
_MARKS: Final = 30
_MANY_MARKS: Final = re.compile(f"(?<=\0{{{_MARKS}}})\0+")
# PostgreSQL takes lexemes of less than 2,048 bytes; a character has up to 4.
_WORD_LENGTH: Final = 500
# It keeps the first 255 places of a lexeme, in both columns together, and none above 16,383.
_REPEATS: Final = 200
_PLACES: Final = 16_000
# Stands for the places where there are too many. No word has such a character.
_WITHOUT_PLACES: Final = "'+'"
# The only word of a column whose words are still to be made: the default of the columns.
NOT_MADE: Final = "'?'"
_NOTHING: Final = "'!'"  # which no item has


def columns(values: Mapping[str, Any]) -> dict[str, str]:
    """The columns with the words of those fields that are given."""
    fields = ("name", "description")
    return {f"{field}_words": words(values[field] or "") for field in fields if field in values}


def words(text: str) -> str:
    """The words of a text, as PostgreSQL reads a tsvector."""
    parts = _parts(text)
    found = [f"'{part[:_WORD_LENGTH]}'" for part in parts if not _RUN.match(part)]
    runs = filter(_RUN.match, parts)
    # The last character of a run has none after it, and is stored alone.
    pairs = [pair for run in runs for pair in map(add, run, (*run[1:], ""))]
    places: dict[str, list[str]] = {}
    for place, pair in enumerate(pairs, 1):
        places.setdefault(pair, []).append(str(place))
    if len(pairs) > _PLACES or max(map(len, places.values()), default=0) > _REPEATS:
        found += (_WITHOUT_PLACES, *(f"'{pair}'" for pair in places))
    else:
        found += [f"'{pair}':{','.join(some)}" for pair, some in places.items()]
    return " ".join(found)


def query(text: str) -> str:
    """What items with all words of a text match, as PostgreSQL reads a tsquery."""
    return " & ".join(map(_condition, _parts(text))) or _NOTHING


def _condition(part: str) -> str:
    if not _RUN.match(part):
        return f"'{part[:_WORD_LENGTH]}'"
    if len(part) == 1:
        return f"'{part}':*"
    pairs = [f"'{pair}'" for pair in map(add, part, part[1:])]
    if len(pairs) == 1:
        return pairs[0]
    return f"({' <-> '.join(pairs)} | {' & '.join((_WITHOUT_PLACES, *pairs))})"


def _parts(text: str) -> Sequence[str]:
    """The words of a text and the runs of characters of scripts without spaces, each once."""
    if text.isascii():
        return list(dict.fromkeys(text.lower().translate(_ASCII).split()))
    folded = _fold(text)
    marks = _marks(folded)
    found: dict[str, None] = {}
    for word in dict.fromkeys(folded.split(" ")):
        # A mark without a letter before it belongs to punctuation, such as a lone accent.
        found |= dict.fromkeys(part.lstrip(marks) for part in _RUN_OR_REST.findall(word))
    return [part for part in found if part]


def _fold(text: str) -> str:
    # Separated before normalization too, which makes letters of symbols, such as TM.
    text = normalize("NFKD", _without_many_marks(_separated(text)))
    # Each word once, since normalization makes up to 18 characters of one.
    text = " ".join(dict.fromkeys(text.split())).casefold()
    # I is the capital of \u0131 in Turkish and of i elsewhere: they are one letter, as is \u0130.
    text = text.replace("\u0131", "i").replace("i\u0307", "i")
    return _separated(normalize("NFKC", text))


def _separated(text: str) -> str:
    """A space for each character that is no part of a word, and nothing for those unseen."""
    others = (char for char in set(text) if not char.isalnum() or char in _UNSEEN)
    changes = {ord(char): new for char in others if (new := _instead(char)) != char}
    return text.translate(changes) if changes else text


def _instead(char: str) -> str:
    kind = category(char)
    if kind == "Cf" or char in _UNSEEN:
        return ""
    return char if kind[0] in "LMN" else " "


def _without_many_marks(text: str) -> str:
    marks = _marks(text)
    if sum(map(text.count, marks)) <= _MARKS:
        return text
    pattern = text.translate(dict.fromkeys(map(ord, marks), "\0"))
    kept, end = [], 0
    for many in _MANY_MARKS.finditer(pattern):
        kept.append(text[end : many.start()])
        end = many.end()
    return "".join((*kept, text[end:]))


def _marks(text: str) -> str:
    return "".join(char for char in set(text) if not char.isalnum() and category(char)[0] == "M")
