"""Texts without spaces as words: Chinese is cut by a dictionary, Japanese where its scripts meet, all else stays.

    房间很大，WiFi很快  --cut-->  房间 很大 ， WiFi 很快
    東京タワーに行く    --cut-->  東京 タワー 、 行 、

Chinese is cut by jieba's dictionary and its model for unknown words, as the Rust package rjieba has them.
"""

from __future__ import annotations

import re

import polars as pl

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HAN_RUN = re.compile(f"[{HAN}]+")
_HIRAGANA = re.compile("[\u3041-\u309f]+")
_GAP = re.compile(f"(?<=[{HAN}]) (?=[{HAN}])")
_BORDER = re.compile(f"(?<=[{HAN}])(?=[\u30a0-\u30ff])|(?<=[\u30a0-\u30ff])(?=[{HAN}])")

STOP_WORDS = frozenset(
    """仅仅 稍微 全片 之心 足够 不行 哈哈哈哈 哈哈哈哈哈
    一下 一个 一些 一件 一份 一会 一会儿 一位 一個 一切 一句 一名 一场 一定 一家 一开始 一方面 一旦 一时 一条 一样
    一樣 一次 一段 一点 一点儿 一点点 一番 一直 一种 一種 一般 一起 一边 一遍 一部 一開始 一间 一點 三个 上去 上面
    下去 下次 下面 不了 不仅 不会 不但 不再 不到 不可 不够 不太 不如 不少 不得 不得不 不必 不想 不是 不會 不然 不用
    不知 不知道 不管 不能 不要 不论 不过 不過 与其 东西 两个 两天 两次 个人 为了 为什么 为何 之一 之前 之后 之类 之间
    也好 也是 也许 事情 什么 什么样 什麼 今天 今年 从而 他人 他们 他們 他家 令人 以上 以下 以为 以前 以及 以后 以来
    以至 任何 任意 似乎 但是 何况 作为 你们 你們 你家 使得 例如 依旧 依然 便是 個人 倒是 假如 偏偏 像是 全部 关于
    其中 其他 其它 其实 其實 其次 再也 再加上 再次 再说 几个 几乎 几天 几次 出去 出来 出现 分别 则是 刚刚 刚才 别人
    别的 到了 到底 加上 十分 即使 即便 即将 却是 原来 又是 及其 反而 发现 发生 只会 只好 只是 只有 只能 只要 可以
    可是 可能 可见 各个 各位 各种 各自 同时 同样 后来 后面 否则 告诉 呵呵 咱们 哈哈 哈哈哈 哪个 哪些 哪里 回来 因为
    因此 因為 固然 在于 地方 基本 基本上 多么 多少 大家 大概 太多 好像 好多 好好 如何 如同 如果 如此 始终 存在 它们
    完全 实在 實在 对于 对方 尤其 就会 就是 就會 就算 就要 尽管 居然 属于 左右 已有 已經 已经 带来 并不 并不是 并且
    并没有 并非 应该 开始 当中 当年 当时 当然 很多 很大 後來 得到 必须 忽然 怎么 怎么样 怎样 怎麼 总之 总体 总是
    总的来说 想到 想要 想起 意思 感到 感觉 應該 成为 我们 我們 我覺 或是 或者 或许 所以 所有 所谓 才会 才是 才能 打算
    找到 据说 接受 接着 提出 整个 整体 方式 方面 无法 无论 既然 时候 时间 明明 昨天 是不是 是否 显得 時候 時間 更加
    曾经 最先 最后 最多 最好 最後 最终 最近 有些 有人 有时 有时候 有没有 有点 有点儿 有的 有着 未必 本来 本片 本身
    来看 来说 果然 某个 某些 根本 根本就 正在 正是 此外 此类 每个 每天 每次 比如 比起 比较 毕竟 毫无 永远 沒有 没什么
    没想到 没有 為了 為什麼 無法 然后 然後 然而 片中 特别 现在 甚至 甚至于 甚麼 用来 由于 當然 的确 的话 目前 直到
    直接 相信 相当 相比 看到 看完 看来 看看 看着 看见 看起来 看过 真心 真是 真正 真的 知道 确实 突然 竟然 第一 第一次
    第二次 等等 简直 算是 类似 結果 经常 结果 给人 绝对 继续 罢了 而且 而已 而是 而言 肯定 能够 自从 自己 自身 至于
    至少 若是 虽然 虽说 要不 要不是 要么 要是 覺得 觉得 許多 讓人 认为 让人 记得 许多 说明 说是 起来 越来 越来越 跟着
    较为 过去 过来 还会 还好 还是 还有 还能 还行 还要 这个 这么 这些 这儿 这家 这时 这是 这本 这样 这次 这段 这点
    这片 这种 这类 这边 这部 这里 进去 进行 這些 這個 這樣 這種 這裡 這部 這麼 這麽 通过 造成 還是 還有 還能 還要
    那个 那么 那些 那個 那儿 那时 那是 那样 那樣 那次 那段 那种 那種 那类 那裡 那边 那部 那里 那麼 那麽 部分 都会
    都是 都有 里面 開始 除了 随着 难以 难道 雖然 需要 非常 非要 顺便 首先""".split()  # noqa: SIM905 -- one word a line would fill the page
)
"""Chinese words that tell nothing by themselves: pronouns, particles, adverbs, conjunctions, common verbs."""


def spaced(texts: pl.Series) -> pl.Series:
    """Return `texts` with a space between words that had none; texts without Han or Kana come back as they are.

    Chinese runs become words. In a text with Kana, Han and Katakana are kept apart and Hiragana, which is mostly
    grammar, becomes a mark that no phrase runs across. Korean has spaces of its own; Thai, Lao, Khmer and Burmese stay
    unbroken between theirs.
    """
    if not texts.str.contains(r"[\p{Han}\p{Hiragana}\p{Katakana}]").any():
        return texts
    return pl.Series(texts.name, [None if text is None else _cut(text) for text in texts], pl.String)


def is_chinese(label: str) -> bool:
    """Return whether a word or phrase begins with a Chinese character."""
    return bool(_HAN_RUN.match(label))


def together(label: str) -> str:
    """Write a phrase as Chinese does, without the spaces that `spaced` has put between its words."""
    return _GAP.sub("", label)


def pieces(label: str) -> list[str]:
    """Return the Chinese runs of a label and, of two characters or more, the words that they are made of."""
    runs = _HAN_RUN.findall(together(label))
    return [*runs, *(word for run in runs for word in _words_of(run) if len(word) > 1)]


def letters(text: str) -> int:
    """Return the length of a text in Latin letters; a Chinese character says as much as three."""
    return len(text) + 2 * sum(len(run) for run in _HAN_RUN.findall(text))


def _cut(text: str) -> str:
    if _HIRAGANA.search(text):
        return _BORDER.sub(" ", _HIRAGANA.sub(" 、 ", text))
    return _HAN_RUN.sub(_words, text) if _HAN_RUN.search(text) else text


def _words(run: re.Match[str]) -> str:
    return f" {' '.join(_words_of(run[0]))} "


def _words_of(run: str) -> list[str]:
    import rjieba

    return list(rjieba.cut(run))
