"""Which language texts are mainly in, as far as the choice of an encoder needs it: English, or something else.

    letters --by script--> Han, Kana, Hangul, Cyrillic, ... | Latin --common words--> English or another language

A look, not a detector: it reads no meaning, and a single short text in Latin script says little. Many together do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from shoal.config import Encode
from shoal.encode.multilingual import NAME as MULTILINGUAL
from shoal.progress import Progress

AUTO = "auto"
ENGLISH, UNKNOWN, FOREIGN = "English", "Latin script", "a language in Latin script"
MOST_TEXTS = 2_000
MOST_CHARACTERS = 1_000
"""Read of each text."""
MAINLY = 0.5
"""English is what the texts are mainly in when no more than this share of them is in something else."""
FEWEST_WORDS = 5
"""Words that must speak against English before texts in Latin script count as another language."""
MARKED = 0.12
"""A share of words with letters such as ł, ő or ạ, above which texts without English words are in another language."""
ENGLISH_RATE = 0.02
"""Common English words among all words, below which the last rule may speak; running English has .3, titles .1."""

_SCRIPTS = {
    "Kana": "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    "Han": "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "Hangul": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7ff",
    "Cyrillic": "\u0400-\u052f",
    "Greek": "\u0370-\u03ff\u1f00-\u1fff",
    "Arabic": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc",
    "Hebrew": "\u0590-\u05ff",
    "Devanagari": "\u0900-\u097f",
    "Bengali": "\u0980-\u09ff",
    "Tamil": "\u0b80-\u0bff",
    "Thai": "\u0e00-\u0e7f",
    "Latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff\uff21-\uff3a\uff41-\uff5a",
}
_CLASSES = {name: re.compile(f"[{characters}]") for name, characters in _SCRIPTS.items()}
_WORD = re.compile(f"[{_SCRIPTS['Latin']}]+")
_WEIGHT = {"Han": 3.0, "Kana": 2.0, "Hangul": 2.5}  # in Latin letters that say as much
_NAMES = {"Han": "Chinese", "Kana": "Japanese", "Hangul": "Korean"}
_KANA = 0.05  # Japanese writes some of its words in Kana, Chinese none

# Words that are common in one language and mean nothing in English; a word of two languages counts for both.
_COMMON = {
    ENGLISH: "the of and to in is it that for was with you on this my are be have not but at from they she his her "
    "your all so there what which their when has would were been an we i by as or if just very after about",
    "German": "der das und ist ich nicht ein eine einen mit sie auf dem den für von zu auch es sich wir sehr im vom",
    "French": "le les des est et une pour dans qui que pas sur avec ce cette je vous nous du au plus très mais aux",
    "Spanish": "el los las del que y es una por con para no se lo muy pero como más su al está mi",
    "Portuguese": "o os as da das do dos que e é um uma para com não na no em muito mais mas por ao foi",
    "Italian": "il di che è un una per con non sono del della dei le gli lo si molto ma anche nel alla",
    "Dutch": "het een van en dat niet ik zijn met voor op te aan maar ook zeer wel bij naar deze",
    "Swedish": "och att det som är på en av jag inte med för den till om har ett mycket var så",
    "Polish": "i w nie na się z jest to do że jak ale bardzo za dla przez po od tak są",
    "Turkish": "ve bir bu çok için da de ne ama gibi daha ile var yok olarak kadar en mi",
    "Indonesian": "yang dan di ini itu untuk dengan tidak dari ada saya ke pada akan sangat sudah juga bisa",
    "Vietnamese": "và của là có không được cho một người này rất với những tôi khi đã nhưng các",
}
_LANGUAGES = {name: frozenset(words.split()) for name, words in _COMMON.items()}


@dataclass(frozen=True)
class Look:
    """What a look at texts found.

    Attributes
    ----------
    main : str
        English, Chinese, German, ..., a script such as Cyrillic, or "Latin script" where no word tells.
    share : float
        Of the texts with letters, those in `main`; 0 where no text has letters.
    other : float
        Of the texts with letters, those in anything else than English; Latin script that nothing speaks against
        counts as English.
    texts : int
        With letters, among those looked at.
    """

    main: str
    share: float
    other: float
    texts: int

    @property
    def mainly_english(self) -> bool:
        """Whether an encoder for English serves; also where there is nothing to read."""
        return self.other <= MAINLY


def look(texts: Sequence[str]) -> Look:
    """Look at up to 2,000 of the texts, evenly spread, and say what they are mainly in.

    Each text counts once, by the script of most of its letters. Latin script is judged for all texts together, because
    a title such as `Heat` is a word of no language: by common words (the, of; der, und; yang, dan), and where there
    are hardly any English ones, by letters that English does not have.
    """
    step = max(1, -(-len(texts) // MOST_TEXTS))
    scripts: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for text in texts[::step]:
        text = text[:MOST_CHARACTERS]
        script = _script(text)
        scripts[script] += 1
        if script == "Latin":
            words.update(set(_WORD.findall(text.lower())))
    del scripts[""]
    n = scripts.total()
    latin = _latin(words)
    if not n:
        return Look(UNKNOWN, 0.0, 0.0, 0)
    named = Counter({latin if s == "Latin" else _NAMES.get(s, s): count for s, count in scripts.items()})
    main, count = max(named.items(), key=lambda pair: (pair[1], pair[0]))
    fits = sum(named[name] for name in (ENGLISH, UNKNOWN))
    return Look(main, count / n, 1 - fits / n, n)


def pick(texts: Sequence[str]) -> str:
    """Return the name of the embedded encoder for `texts`: ``minilm`` where they are mainly English, else another.

    See `look`. Texts without letters, and none at all, get minilm.
    """
    return "minilm" if look(texts).mainly_english else MULTILINGUAL


def settled(settings: Encode, texts: Sequence[str], progress: Progress | None = None) -> Encode:
    """Return `settings` with what `pick` says in place of the encoder ``auto``, and say so in the log.

    A run keeps what comes out, so that it never changes its encoder later. A name is left as it is.
    """
    if settings.encoder != AUTO:
        return settings
    found, picked = look(texts), pick(texts)
    if progress is not None:
        why = f"{found.share:.0%} of {found.texts:,} texts are {found.main}" if found.texts else "no text to read"
        progress.log(f"encode  {why}: {picked} (encode.encoder decides otherwise)")
    return settings.model_copy(update={"encoder": picked})


def _script(text: str) -> str:
    """Return the script of most letters; Kana where Han stands among it; nothing without letters."""
    found = {name: len(letters.findall(text)) for name, letters in _CLASSES.items()}
    east = found["Han"] + found["Kana"]
    if east and found["Kana"] > _KANA * east:
        found["Kana"], found["Han"] = east, 0
    weighed = {name: n * _WEIGHT.get(name, 1.0) for name, n in found.items()}
    best = max(weighed, key=lambda name: weighed[name])
    return best if weighed[best] else ""


def _latin(words: Counter[str]) -> str:
    """Return the language of words in Latin script, each counted once a text."""
    hits = {name: sum(words[word] for word in common) for name, common in _LANGUAGES.items()}
    best = max(hits, key=lambda name: (hits[name], name == ENGLISH))
    if sum(words[word] for word in _LANGUAGES[best] - _LANGUAGES[ENGLISH]) >= FEWEST_WORDS:
        return best
    n = words.total()
    marked = sum(count for word, count in words.items() if not word.isascii())
    if hits[ENGLISH] < ENGLISH_RATE * n and marked > max(FEWEST_WORDS, MARKED * n):
        return FOREIGN
    return ENGLISH if hits[ENGLISH] else UNKNOWN
