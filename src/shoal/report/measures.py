"""The measures: how good the run is beside its baselines, and how the number of segments was chosen.

Each row of a table carries its figure, a dot with a whisker on a scale that the whole table shares, so that the figures
and the numbers cannot come apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import polars as pl

from shoal.report.figures import Scale, axis, decimal, percent, scale, whisker, whole

SMALLER_IS_BETTER = ("rmse", "mae", "mse")
LARGER_IS_BETTER = ("ndcg", "recall", "precision", "hit", "hits", "hit_rate", "mrr", "map", "auc", "accuracy")
ACRONYMS = (*SMALLER_IS_BETTER, "ndcg", "mrr", "map", "auc")
OURS = "blend"


def metric_tables(metrics: pl.DataFrame) -> str:
    """Return a table for each metric: models from best to worst, with value and interval in figures and as a figure."""
    by_metric = _measured(metrics).group_by("metric", maintain_order=True)
    return "\n".join(_metric(metric, rows) for (metric,), rows in by_metric)


def _metric(metric: str, rows: pl.DataFrame) -> str:
    direction = _direction(metric)
    rows = rows.sort("value", descending=direction != "less is better", maintain_order=True)
    on = scale([v for c in ("value", "low", "high") for v in rows[c].drop_nulls().to_list()])
    ours = rows.filter(pl.col("model") == OURS)["value"].to_list()
    body = "\n".join(_metric_row(r, on, ours[0] if ours else None) for r in rows.iter_rows(named=True))
    return f"""<table class="metric">
<caption>{escape(_titled(metric))} <span>{direction}</span></caption>
<thead><tr><th scope="col">Model</th><th scope="col"><span class="unseen">Figure</span>{axis(on)}</th>
<th scope="col" class="number">Value</th><th scope="col" class="number">Interval</th></tr></thead>
<tbody>
{body}
</tbody></table>"""


def _metric_row(row: Mapping[str, Any], on: Scale, beside: float | None) -> str:
    both = row["low"] is not None and row["high"] is not None
    interval = f"{decimal(row['low'])} to {decimal(row['high'])}" if both else "–"
    note = f"<small>{escape(row['note'])}</small>" if row["note"] else ""
    return (
        f'<tr{" class=ours" if row["model"] == OURS else ""}><th scope="row">{escape(_spoken(row["model"]))}{note}</th>'
        f'<td class="plot">{whisker(row["value"], row["low"], row["high"], on, beside=beside)}</td>'
        f'<td class="number">{decimal(row["value"])}</td><td class="number faint">{interval}</td></tr>'
    )


def choice_table(choice: pl.DataFrame, chosen: int) -> str:
    """Return the numbers of segments that were tried, as a table; the one that was taken is marked.

    Columns jaccard, halves, lift and lift_low are shown where there are any: runs of before have none.
    """
    if not choice.height:
        return ""
    on = scale([0.0, 1.0], wanted=2)
    more = [c for c in MORE if c in choice.columns and choice[c].drop_nulls().len()]
    heads = "".join(f'<th scope="col" class="number" title="{MORE[c][1]}">{MORE[c][0]}</th>' for c in more)
    body = "\n".join(_choice_row(row, row["n"] == chosen, on, more, choice) for row in choice.iter_rows(named=True))
    return f"""<div class="wide" tabindex="0" role="region" aria-label="Numbers of segments that were tried">
<table class="choice">
<caption class="unseen">Numbers of segments that were tried</caption>
<thead><tr><th scope="col" class="number">Segments</th><th scope="col"><span class="unseen">Figure</span>{axis(on)}</th>
<th scope="col" class="number">Stability</th>{heads}<th scope="col" class="number">Separation</th>
<th scope="col" class="number">Smallest</th><th scope="col">Verdict</th></tr></thead>
<tbody>
{body}
</tbody></table></div>"""


MORE = {
    "jaccard": ("Members back", "Mean Jaccard index of segments found again from other users"),
    "halves": ("Halves", "Adjusted Rand index between segments from two halves of each user's events"),
    "lift": ("Lift", "How much more popularity in the segments finds than in random ones"),
    "lift_low": ("at least", "Lower bound of the lift's 95 % interval"),
}
"""Columns of the choice that newer runs have: their heading, and what it means."""


def _choice_row(row: Mapping[str, Any], taken: bool, on: Scale, more: list[str], choice: pl.DataFrame) -> str:
    count = choice["smallest"].dtype.is_integer()
    cells = "".join(
        f'<td class="number">{percent(row[c]) if c.startswith("lift") else decimal(row[c], 2)}</td>' for c in more
    )
    return (
        f"<tr{' class=ours aria-current=true' if taken else ''}>"
        f'<th scope="row" class="number">{row["n"]}</th>'
        f'<td class="plot">{whisker(row["stability"], None, None, on)}</td>'
        f'<td class="number">{decimal(row["stability"], 2)}</td>{cells}'
        f'<td class="number">{decimal(row["separation"], 3)}</td>'
        f'<td class="number">{whole(row["smallest"]) if count else percent(row["smallest"])}</td>'
        f"<td>{escape(row['verdict'] or '')}</td></tr>"
    )


def headline(metrics: pl.DataFrame, paired: pl.DataFrame | None = None) -> list[str]:
    """Return how the blend does against the best of the others, a sentence for the first metric of each direction.

    The first metric where more is better, and the first where less is. A metric without a blend, or without anything
    to compare it with, gives no sentence.

    Parameters
    ----------
    metrics : DataFrame
    paired : DataFrame, optional
        model, metric, mean, low, high, verdict: differences user by user, which decide. Without them the intervals of
        the two do, which may overlap where the difference is sure.
    """
    sentences, seen = [], {""}
    for (metric,), rows in _measured(metrics).group_by("metric", maintain_order=True):
        direction = _direction(str(metric))
        ours, others = rows.filter(pl.col("model") == OURS), rows.filter(pl.col("model") != OURS)
        if direction in seen or not ours.height or not others.height:
            continue
        seen.add(direction)
        best = others.sort("value", descending=direction == "more is better", maintain_order=True).row(0, named=True)
        sentences.append(_against(str(metric), ours.row(0, named=True), best, _pair(paired, metric, best["model"])))
    return sentences


def _pair(paired: pl.DataFrame | None, metric: object, model: str) -> Mapping[str, Any] | None:
    if paired is None:
        return None
    found = paired.filter(pl.col("metric") == metric, pl.col("model") == model)
    return found.row(0, named=True) if found.height else None


def _against(
    metric: str, mine: Mapping[str, Any], best: Mapping[str, Any], pair: Mapping[str, Any] | None = None
) -> str:
    return (
        f"{_titled(metric)}: {decimal(mine['value'])} for the {OURS}, {decimal(best['value'])} for the best of the "
        f"others, {_spoken(best['model'])}{_tie(mine, best) if pair is None else _decided(pair)}."
    )


def _decided(pair: Mapping[str, Any]) -> str:
    """Return what the comparison user by user says: the size of a difference without its sign, where it is sure."""
    if pair["verdict"] not in ("better", "worse"):
        return f"; user by user no sure difference ({decimal(pair['low'])} to {decimal(pair['high'])})"
    low, high = sorted(abs(pair[c]) for c in ("low", "high"))
    return f"; user by user {pair['verdict']} by {decimal(abs(pair['mean']))} ({decimal(low)} to {decimal(high)})"


def _tie(mine: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    bounds = [mine["low"], mine["high"], best["low"], best["high"]]
    overlap = None not in bounds and mine["low"] <= best["high"] and best["low"] <= mine["high"]
    return "; their intervals overlap" if overlap else ""


def _measured(metrics: pl.DataFrame) -> pl.DataFrame:
    numbers = [pl.col(c).cast(pl.Float64).fill_nan(None) for c in ("value", "low", "high")]
    return metrics.with_columns(numbers).filter(pl.col("value").is_not_null())


def _direction(metric: str) -> str:
    """Return which way is better; nothing for a metric such as novelty, where neither is."""
    name = metric.split("@")[0].split()[0].lower() if metric.strip() else ""
    return "less is better" if name in SMALLER_IS_BETTER else "more is better" if name in LARGER_IS_BETTER else ""


def _titled(metric: str) -> str:
    """Return ``NDCG@10`` for ``ndcg@10``, ``Recall@10`` for ``recall@10``."""
    name = metric.split("@")[0]
    return (
        name.upper() + metric[len(name) :]
        if name.lower() in ACRONYMS
        else metric[:1].upper() + metric[1:].replace("_", " ")
    )


def _spoken(model: str) -> str:
    return model.replace("_", "-")
