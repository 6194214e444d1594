"""Newcomers: what do people get whom the run has never seen, and is it better than what everybody gets?

The baseline is popularity: the same list for everyone. Run it with: python examples/newcomers.py
"""

from __future__ import annotations

import polars as pl

import shoal

SHOWN = 3


def main() -> None:
    """Judge newcomers with a few events, then serve one."""
    data = shoal.demo_data()

    # The baseline first: if popularity is as good, there is no need for the rest.
    judgement = shoal.judge.evaluate(data, "cold-user", shown=SHOWN)
    print("\n".join(judgement.lines()))

    run = shoal.fit(data)
    newcomer = pl.DataFrame(
        {"user_id": ["new"] * SHOWN, "item_id": ["1", "2355", "3114"], "rating": [5.0, 4.5, 5.0]}  # Pixar's first films
    )
    print(run.assign(newcomer).join(run.segments.select("segment", "name"), on="segment", how="left"))
    titles = data.items.select(pl.col("item_id").cast(pl.String), "title")
    print(run.recommend(history=newcomer, n=5).join(titles, on="item_id", how="left", maintain_order="left"))


if __name__ == "__main__":
    main()
