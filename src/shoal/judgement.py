"""What a judge found: how good models are, against what, and by how much was known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl

RANKING_METRICS = ("recall", "hit_rate", "mrr", "coverage", "novelty", "diversity")
RATING_METRICS = ("mae", "accuracy")


@dataclass(frozen=True)
class Judgement:
    """How good it was, and against what.

    Attributes
    ----------
    protocol : str
    n : int
        Length of the lists.
    table : polars.DataFrame
        model, metric, value, low, high (95 % bootstrap over users), users.
    differences : polars.DataFrame
        model, metric, mean, low, high, p, verdict: the blend minus each other model, paired over users.
    warmth : polars.DataFrame
        model, metric, side (user or item), warmth (events in training), users, value, low, high.
    notes : tuple of str
        What was held out and left out.
    """

    protocol: str
    n: int
    table: pl.DataFrame
    differences: pl.DataFrame
    warmth: pl.DataFrame
    notes: tuple[str, ...] = field(default=())

    def lines(self) -> list[str]:
        """Return the judgement as lines of text: a table of ranking, one of ratings, and the blend by warmth."""
        lines = [f"protocol {self.protocol}", *(f"  {note}" for note in self.notes)]
        for head in (f"ndcg@{self.n}", "rmse"):
            rows = self.table.filter(pl.col("metric") == head)
            if rows.height:
                lines += ["", *self._table(head, rows)]
        return lines + self._warmth_lines()

    def _table(self, head: str, rows: pl.DataFrame) -> list[str]:
        """Return a row a model: the head metric with its interval, the metrics beside it, and the blend's lead."""
        beside = RATING_METRICS if head == "rmse" else tuple(f"{m}@{self.n}" for m in RANKING_METRICS)
        values = {(m, k): v for m, k, v in self.table.select("model", "metric", "value").iter_rows()}
        title = f"{'model':<11}{head:>9}  {'95 % interval':<18}" + "".join(f"{m:>14}" for m in beside)
        lines = [f"{title}  blend's lead in {head}"]
        for row in rows.iter_rows(named=True):
            model, interval = row["model"], f"{row['low']:.4f} to {row['high']:.4f}"
            more = "".join(f"{values.get((model, m), float('nan')):>14.4f}" for m in beside)
            lines.append(f"{model:<11}{row['value']:>9.4f}  {interval:<18}{more}  {self._lead(model, head)}".rstrip())
        return lines

    def _lead(self, model: str, metric: str) -> str:
        found = self.differences.filter((pl.col("model") == model) & (pl.col("metric") == metric))
        told = [f"{d['mean']:+.4f} ({d['low']:+.4f} to {d['high']:+.4f}) {d['verdict']}" for d in found.to_dicts()]
        return told[0] if told else ""

    def _warmth_lines(self) -> list[str]:
        if not self.warmth.height:
            return []
        lines = ["", f"blend by warmth, ndcg@{self.n}"]
        for row in self.warmth.filter(pl.col("model") == "blend").iter_rows(named=True):
            interval = f"{row['value']:.4f}  {row['low']:.4f} to {row['high']:.4f}"
            lines.append(f"  {row['side']}s with {row['warmth']:<5} events  {interval}   {row['users']:,} users")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return the judgement for JSON."""
        return {
            "protocol": self.protocol,
            "n": self.n,
            "metrics": self.table.to_dicts(),
            "differences": self.differences.to_dicts(),
            "warmth": self.warmth.to_dicts(),
            "notes": list(self.notes),
        }
