"""The page of a search: what mattered, each setting against the figure, each trial's curve, and the best settings.

STUDY/study.db --table, importance--+
STUDY/trials/*.jsonl ---------------+--> charts, tables --> template --> one file, written whole or not at all
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from shoal.adapt.settings import Finetune
from shoal.adapt.study import BEST, ENOUGH, Study, load_study
from shoal.progress import duration
from shoal.report.charts import Dot, Line, dots, lines
from shoal.report.figures import axis, bar, decimal, percent, scale, whisker
from shoal.report.page import NOTHING, manifest_list, put
from shoal.report.training import figure, framed, key_line, spoken

FEW = 12
"""Curves of so many epochs show them as dots."""
PALETTE = 7
"""Strategies have colours of their own, in the order in which they were first tried."""


def write_study(study: Study | str | Path, path: str | Path | None = None) -> Path:
    """Write the page of a study, and return its path.

    Parameters
    ----------
    study : Study or path
    path : path, optional
        None writes ``report.html`` into the study's folder.

    Raises
    ------
    StoreError
        There is no study, or the page cannot be written.
    """
    found = study if isinstance(study, Study) else load_study(study)
    return put(render_study(found), found.folder / "report.html" if path is None else path)


def render_study(study: Study) -> str:
    """Return the page as HTML; a study without a trial that ended well says so."""
    sections = [
        ("best", "Best settings", "The best settings", _best(study)),
        ("mattered", "What mattered", "What mattered", _mattered(study)),
        ("curves", "Curves", "Every trial", _curves(study)),
        ("trials", "Trials", "All trials, best first", _table(study)),
        ("made", "How made", "How it was made", _made(study)),
    ]
    kind = f"A search for settings: task {study.about['task']}, by {spoken(study.objective)} on validation"
    return framed(str(study.about["data_name"]), kind, _summary(study), _headline(study), sections)


def _summary(study: Study) -> dict[str, str]:
    counts = dict(study.trials["state"].value_counts().iter_rows())
    seconds = study.trials["seconds"].sum()
    shown = {name: str(counts[name]) for name in ("complete", "pruned", "failed") if name in counts}
    return {**shown, "of training": duration(float(seconds or 0))}


def _headline(study: Study) -> list[str]:
    if study.best is None:
        return ["No trial has ended well yet."]
    best, name = study.row(study.best), spoken(study.objective)
    interval = "" if best["low"] is None else f" ({decimal(best['low'])} to {decimal(best['high'])})"
    told = [f"{name} {decimal(best['value'])}{interval} on the validation examples, with trial {study.best}."]
    start = study.trials.filter(pl.col("state") != "killed").row(0, named=True)
    if start["state"] == "complete" and start["trial"] != study.best:
        told.append(f"The settings that the search began from have {decimal(start['value'])}.")
    if start["trial"] == study.best:
        told.append("No other trial was better than the settings that the search began from.")
    if study.importance:
        some = [f"{_short(k)} ({percent(v)})" for k, v in list(study.importance.items())[:2]]
        told.append(f"What set the best trials apart most: {' and '.join(some)}.")
    return told


def _best(study: Study) -> str:
    if study.best is None:
        return NOTHING.format("No trial has ended well yet.")
    row = study.row(study.best)
    chosen = "".join(
        f"<div><dt>{escape(_short(name))}</dt><dd>{escape(_value(row[name]))}</dd></div>"
        for name in study.settings
        if row[name] is not None
    )
    return f"""<p class="lede">Chosen on validation examples, among all trials: the figure flatters a little. No trial
read the test examples; a fine-tuning with these settings does, once, at its end.</p>
<dl class="chosen">{chosen}</dl>
<p class="code">shoal finetune TABLE MODEL --config {escape(str(study.folder / BEST))}</p>"""


def _mattered(study: Study) -> str:
    done = study.trials.filter(pl.col("state") == "complete").height
    if not study.importance:
        words = f"{done} trials ended well; from {ENOUGH} on it can be said what mattered. Until then it is chance."
        bars = NOTHING.format(words)
    else:
        most = max(study.importance.values())
        rows = "\n".join(
            f'<tr><th scope="row">{escape(_short(name))}</th><td>{bar(share, None, most)}</td>'
            f'<td class="number">{percent(share)}</td></tr>'
            for name, share in study.importance.items()
        )
        bars = f"""<p class="lede">How much the choice of a setting had to do with being among the best trials
(PED-ANOVA over {done} trials that ended well). With few trials this is rough: read it with the dots below.</p>
<table class="mattered"><caption class="unseen">Importance of settings</caption><tbody>
{rows}
</tbody></table>"""
    ordered = [*study.importance, *(n for n in study.settings if n not in study.importance)]
    charts = "\n".join(_against(study, name) for name in ordered)
    better = "higher" if study.larger_is_better else "lower"
    key = key_line(
        [
            ("round full", "", "a trial"),
            ("round", "", "pruned: the figure when it was stopped"),
            ("round gold", "", "the best"),
        ]
    )
    return f"""{bars}
<h3>Each setting against {escape(spoken(study.objective))}: {better} is better</h3>
<div class="charts three">
{charts}
</div>
{key}"""


def _against(study: Study, name: str) -> str:
    """Return the dots of one setting: in columns for a list, on an axis for a range."""
    among, log = _dial(study.about["space"], name)
    drawn = []
    for row in study.trials.filter(pl.col(name).is_not_null() & pl.col("value").is_not_null()).iter_rows(named=True):
        style = "star" if row["trial"] == study.best else "dot" if row["state"] == "complete" else "hollow"
        label = f"trial {row['trial']}: {_value(row[name])}, {decimal(row['value'])}"
        drawn.append(Dot(_value(row[name]) if among else float(row[name]), row["value"], style, label))
    drawn.sort(key=lambda d: ("hollow", "dot", "star").index(d.style))
    title = f"{_short(name)} against {spoken(study.objective)}"
    chart = dots(drawn, x="", y="", title=title, words=[_value(v) for v in among], log=log)
    return figure(_short(name), "logarithmic" if log else "", chart)


def _dial(space: Mapping[str, Any], name: str) -> tuple[Sequence[Any], bool]:
    """Return the values of a list (none for a range), and whether a range is logarithmic."""
    found: Any = space
    for part in name.split("."):
        found = found[part]
    if isinstance(found, Mapping):
        return found["among"] or (), bool(found["log"])
    return found, False


def _curves(study: Study) -> str:
    strategies = list(dict.fromkeys(_strategy(study, n) for n in study.trials["trial"]))
    colour = {name: f"--segment-{i % PALETTE}" for i, name in enumerate(strategies)}
    drawn = []
    for row in study.trials.filter(pl.col("state") != "killed").iter_rows(named=True):  # it was run again
        points = _points(study, row["trial"])
        state = "best" if row["trial"] == study.best else "quiet" if row["state"] == "complete" else "cut"
        label = f"trial {row['trial']}, {_strategy(study, row['trial'])}, {row['state']}"
        drawn.append(
            (
                state,
                Line(
                    points,
                    state,
                    label,
                    dots=state == "best" and len(points) <= FEW,
                    colour=colour[_strategy(study, row["trial"])],
                ),
            )
        )
    order = ("cut", "quiet", "best")
    kept = [one for _, one in sorted(drawn, key=lambda d: order.index(d[0]))]
    name = spoken(study.about["figure"])
    chart = lines(kept, x="% of planned epochs", y="", title=f"{name} of each trial while it was trained")
    key = key_line([("", colour[s], s) for s in strategies] + [("cut-line", "", "pruned or failed")])
    curves = figure(name, "of the validation examples, by how much of the training was done", chart, key)
    lede = (
        "The bold line is the best trial. A line that ends early was pruned for being behind the others, or its "
        "fine-tuning stopped getting better."
    )
    return f'<p class="lede">{lede}</p>\n<div class="charts">\n{curves}\n{_history(study)}\n</div>'


def _history(study: Study) -> str:
    """Return each trial's figure in the order of trials, and the best so far."""
    rows = study.trials.filter(pl.col("state").is_in(["complete", "pruned"]) & pl.col("value").is_not_null())
    rings, best, steps = [], math.nan, list[tuple[float, float]]()
    for row in rows.iter_rows(named=True):
        trial, value = float(row["trial"]), row["value"]
        rings.append(Dot(trial, value, "dot" if row["state"] == "complete" else "hollow", f"trial {row['trial']}"))
        if row["state"] == "complete" and not (value >= best if not study.larger_is_better else value <= best):
            steps += [(trial, best), (trial, value)] if math.isfinite(best) else [(trial, value)]
            best = value
    if steps:
        steps.append((float(study.trials["trial"].max() or 0), best))  # type: ignore[arg-type]
    chart = lines([Line(steps, "line")], x="trial", y="", title="The best figure so far, trial by trial", rings=rings)
    key = key_line([("", "--accent", "best so far"), ("round full", "", "a trial"), ("round", "", "pruned")])
    return figure(spoken(study.objective), "trial by trial", chart, key)


def _table(study: Study) -> str:
    order = study.trials.sort(
        pl.col("state") != "complete", pl.col("value") * (-1 if study.larger_is_better else 1), nulls_last=True
    )
    rows = order.to_dicts()
    ended = [v for r in rows if r["state"] == "complete" for v in (r["value"], r["low"], r["high"]) if v is not None]
    on = scale(ended)
    body = "\n".join(_trial(study, row, on) for row in rows)
    name = escape(spoken(study.objective))
    return f"""<div class="wide" tabindex="0" role="region" aria-label="Trials"><table class="trials">
<thead><tr><th scope="col" class="number">Trial</th><th scope="col">{axis(on)}</th>
<th scope="col" class="number">{name}</th><th scope="col">Ended</th><th scope="col" class="number">Epochs</th>
<th scope="col" class="number">Time</th><th scope="col">Settings</th></tr></thead>
<tbody>
{body}
</tbody></table></div>"""


def _trial(study: Study, row: Mapping[str, Any], on: Any) -> str:
    told = ", ".join(f"{_short(n)} {_value(row[n])}" for n in study.settings if row[n] is not None)
    note = f"<br><small>{escape(row['note'])}</small>" if row["note"] else ""
    complete = row["state"] == "complete"
    plot = whisker(row["value"], row["low"], row["high"], on) if complete else ""
    seconds = "–" if row["seconds"] is None else duration(row["seconds"])
    return (
        f'<tr{" class=ours" if row["trial"] == study.best else ""}><th scope="row" class="number">{row["trial"]}</th>'
        f'<td class="plot">{plot}</td><td class="number">{decimal(row["value"])}</td>'
        f'<td class="state">{row["state"]}</td><td class="number">{row["epochs"] if row["epochs"] else "–"}</td>'
        f'<td class="number faint">{seconds}</td><td class="faint">{escape(told)}{note}</td></tr>'
    )


def _made(study: Study) -> str:
    space = {k: v for k, v in _spoken_space(study.about["space"]).items() if v != "–"}
    facts = {name: study.about[name] for name in ("task", "data", "objective")}
    return f"""<div class="halves">
<div><h3>The space</h3>
{manifest_list(space)}
</div>
<div><h3>Searched from</h3>
{manifest_list({**facts, **study.about["settings"]})}
</div>
</div>"""


def _spoken_space(space: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a space in words: ``8, 16`` for a list, ``1e-05 to 0.001, logarithmic`` for a range."""
    told: dict[str, str] = {}
    for name, value in space.items():
        if isinstance(value, Mapping) and "among" not in value:
            told |= _spoken_space(value, f"{prefix}{name}.")
        elif isinstance(value, Mapping):
            some = value["among"]
            span = f"{value['low']:g} to {value['high']:g}" if some is None else ", ".join(f"{v:g}" for v in some)
            told[_short(prefix + name)] = span + (", logarithmic" if value["log"] else "")
        else:
            told[_short(prefix + name)] = "–" if value is None else _value(value)
    return told


def _points(study: Study, trial: int) -> list[tuple[float, float]]:
    """Return how far a trial was, in per cent of its planned epochs, and the figure of the curves there."""
    curves = study.curves(trial)
    if not curves.epochs:
        return []
    planned = max(Finetune(**curves.about["settings"]).epochs, 1)
    name = study.about["figure"]
    return [(100 * (row["epoch"] + 1) / planned, row[name]) for row in curves.epochs if name in row]


def _strategy(study: Study, trial: int) -> str:
    found = study.row(trial).get("strategy")
    return str(found or study.about["space"]["strategy"][0])


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _short(name: str) -> str:
    return {"learning.lr": "learning rate", "n": "layers"}.get(name, name.removeprefix("learning.").replace("_", " "))
