"""Whether a name says only what the evidence says.

    "Horror and Thriller fans"   Horror, Thriller: told of this segment     fans: claims nothing    --> true
    "Anime fans"                 Anime: not told                                                    --> refused
    "Heavy users of Drama"       Drama: told        heavy: true where they have 1.2 times the usual events

Each word of a name must stand in the evidence (its beginning, at least: thriller, thrillers), or claim nothing, or
claim a habit that the figures bear out. A fine paraphrase is refused too: better a plain name than a false one.
"""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections.abc import Iterable

from shoal.segment.chinese import HAN, pieces
from shoal.segment.evidence import Told
from shoal.segment.name import LONGEST

BUSIER, QUIETER = 1.2, 0.85  # against the usual number of events
RATES_APART = 0.1  # stars
SAME_START, LONGEST_END = 5, 4  # letters that two forms of a word share, and that each may add

CLAIMS_NOTHING = frozenset(
    """a an and or of for the in on with to from by who that are is at as all their plus fan fans lover lovers
    enthusiast enthusiasts buff buffs viewer viewers user users reader readers listener listeners watcher watchers
    player players shopper shoppers buyer buyers customer customers member members group crowd people folk folks
    follower followers seeker seekers explorer explorers audience audiences aficionado aficionados devotee devotees
    taste tastes rater raters critic critics reviewer reviewers set era""".split()  # noqa: SIM905 -- as in `words`
)
MEDIA = frozenset(
    """film films movie movies title titles book books item items music song songs artist artists album albums show
    shows story stories""".split()  # noqa: SIM905
)
"""Words that claim nothing behind a label ("Drama films"), and a taste after an "and" ("Drama and music")."""
CLAIMS_NOTHING_HAN = tuple(
    """爱好者 爱好 喜爱 喜欢 热爱 粉丝 影迷 书迷 乐迷 歌迷 观众 读者 听众 用户 评论者 人群 群体 控 迷 党 族 派 者 电影
    影片 影视 片 剧 书籍 图书 书 作品 题材 类 型 口味 偏好 偏爱 评分 评价 打分 与 和 及 的 之 等 为主
    主题 年代 全体 与大家相近 如""".split()  # noqa: SIM905
)

BUSY, QUIET, KIND, STRICT, OLD, NEW = "busy", "quiet", "kind", "strict", "old", "new"
HABITS = {
    word: habit
    for habit, words in {
        BUSY: "heavy avid frequent active busy devoted voracious prolific 重度 活跃 高频 资深",
        QUIET: "light casual occasional infrequent sporadic 轻度 偶尔 低频",
        KIND: "generous kind lenient positive enthusiastic 宽容 好评 高分 慷慨",
        STRICT: "strict harsh critical tough demanding picky negative 挑剔 严格 严苛 差评 低分",
        OLD: "old older classic classics vintage retro 经典 怀旧 较早 老 旧",
        NEW: "new newer newest modern recent contemporary latest 近年 现代 较新 新",
    }.items()
    for word in words.split()
}
"""What words claim of habits, or of the age of items."""

_CHINESE = re.compile(f"[{HAN}]")


def fault(name: str, told: Told, *, elsewhere: Iterable[str] = (), chinese: bool = False, same: bool = True) -> str:
    """Return what is wrong with a name, in a few words; an empty string where nothing is.

    Parameters
    ----------
    name : str
    told : Told
        What the model was told of the segment.
    elsewhere : iterable of str
        Labels that were told of its siblings.
    chinese : bool
        Whether names are to be Chinese.
    same : bool
        Whether names are in the language of the labels. If not, a word cannot be looked up in the evidence, and only
        the form of a name and its digits are checked.
    """
    wrong = _form(name)
    if wrong or not same:
        return wrong or _digits(name, told)
    if bool(_CHINESE.search(name)) != chinese and not _is_label(name, told):
        return "it is in another language"
    others = {label.casefold() for label in elsewhere}
    grounded = False
    for word, after_and in _words(name, told):
        kind, wrong = _judged(word, told, others, after_and)
        if wrong:
            return wrong
        grounded = grounded or kind
    return "" if grounded else "it says nothing that the evidence says"


def speaks_of_items(name: str) -> bool:
    """Return whether a name says anything that items can be matched by: more than habits, and more than nothing."""
    idle = CLAIMS_NOTHING | MEDIA | set(CLAIMS_NOTHING_HAN) | _PEOPLE | {"much", "like", "everyone", "unassigned"}
    words = [word for word, _ in _words(name, None)]
    return any(word not in idle and not re.fullmatch(r"\d{1,2}", word) for word in words)


ERAS = frozenset(word for word, habit in HABITS.items() if habit in (OLD, NEW))
_PEOPLE = frozenset(HABITS) - ERAS


def about_items(name: str) -> str:
    """Return what a name says of items, without what it says of habits: "Heavy users of Drama" becomes "Drama"."""
    words = [word for word, _ in _words(name, None)]
    if not _PEOPLE.intersection(words):
        return name
    return " ".join(word for word in words if word not in _PEOPLE | CLAIMS_NOTHING and word not in CLAIMS_NOTHING_HAN)


def subject_of(name: str) -> str:
    """Return what a name says of items besides their age: "1990s Drama, older titles" becomes "Drama"."""
    words = [word for word, _ in _words(name, None)]
    if not any(word in ERAS or re.fullmatch(r"\d{4}s", word) for word in words):
        return about_items(name)
    idle = _PEOPLE | ERAS | CLAIMS_NOTHING | MEDIA | set(CLAIMS_NOTHING_HAN)
    return " ".join(word for word in words if word not in idle and not re.fullmatch(r"\d{4}s", word))


def eras_of(name: str) -> list[str]:
    """Return what a name says of the age of items: decades such as ``1990s``, ``old``, ``new``."""
    words = [word for word, _ in _words(name, None)]
    return [HABITS[w] if w in ERAS else w for w in words if w in ERAS or re.fullmatch(r"\d{4}s", w)]


def _form(name: str) -> str:
    if len(name) > LONGEST:
        return f"it is longer than {LONGEST} characters"
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") for letter in name):
        return "it holds a character that cannot be shown"
    if re.search(r"[<>{}`*_#|\[\]\\]|https?:|www\.", name):
        return "it holds marks that no name has"
    return "" if re.search(r"[^\W_]", name) else "it is empty"


def _words(name: str, told: Told | None) -> list[tuple[str, bool]]:
    """Return the words of a name in small letters, and whether each follows an "and" or a comma.

    Chinese runs are cut into what stands in the evidence, what claims a habit or nothing, and what is left.
    """
    labels = [] if told is None else [p for label in told.labels for p in pieces(label)]
    every = {*labels, *CLAIMS_NOTHING_HAN, *(word for word in HABITS if _CHINESE.match(word))}
    known = sorted(every, key=lambda word: (-len(word), word))
    chinese = re.compile("|".join(map(re.escape, known)) + f"|[{HAN}]")
    found: list[tuple[str, bool]] = []
    after = False
    name = re.sub(r"(\d{4})年代", r"\1s ", name)
    for token in re.findall(f"[{HAN}]+|(?:(?![{HAN}])[^\\W_])+|[,，、&+]", name.casefold()):
        if _CHINESE.match(token):
            found += [(word, False) for word in _joined(chinese.findall(token), every)]
        elif token.isalnum() and token not in ("and", "or", "plus"):
            found.append((token, after))
        after = not token.isalnum() or token in ("and", "or", "plus")
    return found


def _joined(found: list[str], known: set[str]) -> list[str]:
    """Join single characters that nothing knows to one word again, so that a message shows it whole."""
    words: list[str] = []
    open_end = False
    for one in found:
        if one not in known and open_end:
            words[-1] += one
        else:
            words.append(one)
        open_end = one not in known
    return words


def _judged(word: str, told: Told, elsewhere: set[str], after_and: bool) -> tuple[bool, str]:
    """Return whether a word says something true, and what is wrong with it."""
    if any(_same(word, one) for one in _vocabulary(told.labels)):
        return True, ""
    if any(word == label.casefold() for label in told.under):
        return False, f"{word!r} is what the segment uses little"
    if word in HABITS:
        return _habit(HABITS[word], told), "" if _habit(HABITS[word], told) else f"{word!r} is not true of it"
    if word in elsewhere and word not in CLAIMS_NOTHING_HAN:
        return False, f"{word!r} is told of another segment alone"
    if word in CLAIMS_NOTHING or word in CLAIMS_NOTHING_HAN or (word in MEDIA and not after_and):
        return False, ""
    return False, f"{word!r} is not in the evidence"


def _habit(habit: str, told: Told) -> bool:
    gap = told.rating_gap or 0.0
    over, under = _decades(told.labels), _decades(told.under)
    middle = statistics.mean(under) if under else 2000
    return {
        BUSY: told.activity >= BUSIER,
        QUIET: told.activity <= QUIETER,
        KIND: gap >= RATES_APART,
        STRICT: gap <= -RATES_APART,
        OLD: bool(over) and statistics.mean(over) < middle,
        NEW: bool(over) and statistics.mean(over) >= middle,
    }[habit]


def _decades(labels: Iterable[str]) -> list[int]:
    return [int(label[:4]) for label in labels if re.fullmatch(r"\d{4}s", label)]


def _digits(name: str, told: Told) -> str:
    known = _vocabulary(told.labels)
    wrong = [word for word in re.findall(r"\d+s?", name.casefold()) if word not in known and f"{word}s" not in known]
    return f"{wrong[0]!r} is not in the evidence" if wrong else ""


def _vocabulary(labels: Iterable[str]) -> set[str]:
    """Return the words of labels; a decade also as it is said, `90s`; Chinese as phrase and as words."""
    words = {word for label in labels for word in re.findall(r"[^\W_]+", label.casefold())}
    words |= {piece for label in labels for piece in pieces(label)}
    return words | {word[2:] for word in words if re.fullmatch(r"\d{4}s", word)}


def _same(word: str, other: str) -> bool:
    """Return whether two words are forms of one: equal, but for a plural, or with the same beginning."""
    if _singular(word) == _singular(other):
        return True
    if not word.isalpha() or not other.isalpha() or not word.isascii():
        return False
    start = next((i for i, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    return start >= SAME_START and max(len(word), len(other)) - start <= LONGEST_END


def _singular(word: str) -> str:
    if not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _is_label(name: str, told: Told) -> bool:
    return any(name.casefold() == label.casefold() for label in told.labels)
