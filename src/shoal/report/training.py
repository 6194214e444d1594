"""The page of a fine-tuned model: its curves, its figures beside the baseline, what moved, and its settings.

    MODEL/manifest.json --about--+
    MODEL/training.jsonl --------+--> charts, tables --> template --> one file, written whole or not at all

Without a file of curves the page shows the epochs, which the manifest has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from shoal.adapt.curves import NAME, Curves, read_curves
from shoal.errors import StoreError
from shoal.report.charts import Dot, Line, lines, smoothed
from shoal.report.figures import axis, colours, decimal, percent, scale, whisker, whole
from shoal.report.page import NOTHING, asset, manifest_list, put, sentences
from shoal.store import artifacts

SPOKEN = {
    "rmse": "RMSE", "mae": "MAE", "accuracy": "Accuracy", "macro_f1": "Macro-F1", "log_loss": "Log loss",
    "calibration_error": "Calibration error", "mean_rank": "Mean rank", "perplexity": "Perplexity",
    "valid": "Validation loss",
}  # fmt: skip
LARGER = ("accuracy", "macro_f1")
PLAIN = ("epoch", "loss", "valid", "step", "time")
"""What a row of an epoch holds that is no figure of validation."""


def write_training(model: str | Path, path: str | Path | None = None) -> Path:
    """Write the page of a model that `shoal finetune` made, and return its path.

    Parameters
    ----------
    model : path
    path : path, optional
        None writes ``report.html`` into the model's folder.

    Raises
    ------
    StoreError
        The folder is no model's, or is damaged; or the page cannot be written.
    """
    folder = Path(model)
    kept = artifacts.load(folder, artifacts.MODEL)
    page = render_training(kept.manifest, read_curves(folder / NAME), version=kept.shoal_version)
    return put(page, folder / "report.html" if path is None else path)


def render_training(about: Mapping[str, Any], curves: Curves, *, version: str = "") -> str:
    """Return the page as HTML.

    Parameters
    ----------
    about : mapping
        What a model's manifest says of it.
    curves : Curves
        May be empty.
    version : str
        Of the shoal that made the model.

    Raises
    ------
    StoreError
        The manifest holds no story of a training.
    """
    if not isinstance(about.get("story"), list) or "parameters" not in about:
        raise StoreError("This model's manifest holds no story of its training. Fine-tune again with this shoal.")
    sections = [
        ("curves", "Curves", "How it learnt", _curves(about, curves)),
        ("measures", "How good", "How good it is", _measures(about)),
        ("made", "How made", "How it was made", _made(about, version)),
    ]
    strategy = about["settings"]["strategy"]["name"]
    kind = f"A language model fine-tuned for the task {about['task']}: {strategy} on {about['settings']['base']}"
    return framed(str(about["data"]), kind, _summary(about), _headline(about), sections)


def framed(
    title: str,
    kind: str,
    summary: Mapping[str, str],
    headline: Sequence[str],
    sections: Sequence[tuple[str, str, str, str]],
) -> str:
    """Return a page without a script: a head, and sections of (anchor, short name, title, HTML)."""
    return Template(asset("training.html")).substitute(
        title=escape(title),
        kind=escape(kind),
        style=f"{colours()}\n{asset('page.css')}\n{asset('training.css')}",
        summary="\n".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in summary.items()),
        headline="".join(f"<li>{escape(line)}</li>" for line in headline),
        nav="\n".join(f'<li><a href="#{anchor}">{escape(short)}</a></li>' for anchor, short, _, _ in sections),
        main="\n".join(
            f'<section id="{anchor}" aria-labelledby="{anchor}-title">\n<h2 id="{anchor}-title">{escape(name)}</h2>\n'
            f"{inner}\n</section>"
            for anchor, _, name, inner in sections
        ),
    )


def figure(caption: str, note: str, drawn: str, key: str = "") -> str:
    """Return a chart with its caption, and what its marks mean; nothing where there is nothing to draw."""
    if not drawn:
        return ""
    return f"<figure><figcaption>{escape(caption)}<span>{escape(note)}</span></figcaption>\n{drawn}\n{key}</figure>"


def key_line(entries: Sequence[tuple[str, str, str]]) -> str:
    """Return what marks mean, each (class, colour variable, words)."""
    items = "".join(
        f'<li><i class="{style}"{f" style=--colour:var({colour})" if colour else ""}></i>{escape(words)}</li>'
        for style, colour, words in entries
    )
    return f'<ul class="key-line" aria-hidden="true">{items}</ul>'


def spoken(name: str) -> str:
    """Return a figure's name as one writes it."""
    return SPOKEN.get(name, name[:1].upper() + name[1:].replace("_", " "))


def _summary(about: Mapping[str, Any]) -> dict[str, str]:
    free, every = about["parameters"]["moved"], about["parameters"]["all"]
    sizes = {name: whole(n) for name, n in about.get("examples", {}).items() if n}
    return {**sizes, "of parameters moved": percent(free / max(every, 1))}


def _headline(about: Mapping[str, Any]) -> list[str]:
    told = []
    test = about.get("test", {})
    for name in ("rmse", "accuracy"):
        if isinstance(test.get(name), Mapping):
            found, knowing = test[name], test.get("baseline", {}).get(name)
            beside = "" if knowing is None else f"; {decimal(knowing)} for knowing nothing of the text"
            told.append(
                f"{spoken(name)} on {whole(about['examples']['test'])} held-out examples: {decimal(found['value'])} "
                f"({decimal(found['low'])} to {decimal(found['high'])}){beside}."
            )
    before, after = about.get("before", {}), about.get("after", {})
    told += [f"{spoken(n)}: {decimal(before[n])} before, {decimal(v)} after." for n, v in after.items() if n != "valid"]
    free, every = about["parameters"]["moved"], about["parameters"]["all"]
    told.append(f"{whole(free)} of {whole(every)} parameters moved.")
    if about["story"]:
        told.append(f"Of {len(about['story'])} epochs the best was epoch {about['best_epoch'] + 1}, which is kept.")
    return told


def _curves(about: Mapping[str, Any], curves: Curves) -> str:
    rows = curves.epochs if len(curves.epochs) >= len(about["story"]) else about["story"]
    drawn = [_losses(rows, curves)]
    names = [n for n in (rows[0] if rows else {}) if n not in PLAIN]
    drawn += [_by_epoch(rows, name, about["best_epoch"]) for name in names]
    rates = [(s["step"], s["lr"]) for s in curves.steps if "lr" in s]
    rate = lines([Line(rates)], x="step", y="", title="Learning rate by step")
    drawn.append(figure("Learning rate", "inside the language model, or of the head where nothing else moves", rate))
    charts = [one for one in drawn if one]
    if not charts:
        return NOTHING.format("Nothing was trained, so that there are no curves.")
    lede = (
        "The loss of training by step, faint as it was and bold as a running mean; figures of the validation examples "
        "after each epoch. The ring marks the epoch that was kept."
    )
    return f'<p class="lede">{lede}</p>\n<div class="charts">\n{"".join(charts)}\n</div>'


def _losses(rows: Sequence[Mapping[str, float]], curves: Curves) -> str:
    steps = [(s["step"], s["loss"]) for s in curves.steps]
    by_step = bool(steps) and all("step" in r for r in rows)
    valid = [(r["step"] if by_step else r["epoch"] + 1, r["valid"]) for r in rows]
    train = [(r["epoch"] + 1, r["loss"]) for r in rows]
    some = [Line(steps, "raw"), Line(smoothed(steps), "line")] if by_step else [Line(train, "line", dots=True)]
    drawn = lines([*some, Line(valid, "valid", dots=True)], x="step" if by_step else "epoch", y="", title="Losses")
    key = key_line([("", "--accent", "training"), ("", "--segment-2", "validation")])
    return figure("Loss", "less is better", drawn, key)


def _by_epoch(rows: Sequence[Mapping[str, float]], name: str, best: int) -> str:
    points = [(r["epoch"] + 1, r[name]) for r in rows]
    ring = [Dot(x, y, "ring", f"epoch {x:.0f}, which is kept") for x, y in points if x == best + 1]
    title = f"{spoken(name)} of the validation examples by epoch"
    better = "more is better" if name in LARGER else "less is better"
    drawn = lines([Line(points, "valid", dots=True)], x="epoch", y="", title=title, rings=ring)
    return figure(spoken(name), f"{better}; validation", drawn)


def _measures(about: Mapping[str, Any]) -> str:
    if "after" in about:
        return _before_and_after(about)
    rows = [
        (f"{part}, {whole(about['examples'][part])}", part, about[part])
        for part in ("test", "validation")
        if part in about
    ]
    if not rows:
        return NOTHING.format("This model was not measured.")
    names = [n for n in rows[0][2] if n != "baseline"]
    tables = "\n".join(_metric(name, rows) for name in names)
    lede = (
        "Whiskers span the bootstrap interval of 95 %; the faint line is the test. The test examples were read once, "
        "at the end; the validation examples chose the epoch, so that their figures flatter. The baseline names the "
        "commonest class, or the mean rating, whatever the text says."
    )
    return f'<p class="lede">{lede}</p>\n<div class="metrics">\n{tables}\n</div>'


def _metric(name: str, rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> str:
    """Return a table of one figure: test and validation, and what knowing nothing scores."""
    found = [(label, part, *_bounds(told.get(name))) for label, part, told in rows]
    knowing = rows[0][2].get("baseline", {}).get(name)
    if knowing is not None:
        found.append(("knowing nothing of the text", "baseline", knowing, None, None))
    on = scale([v for row in found for v in row[2:] if v is not None])
    body = "\n".join(
        f'<tr{" class=ours" if part == "test" else ""}><th scope="row">{escape(label)}</th>'
        f'<td class="plot">{whisker(value, low, high, on, beside=found[0][2])}</td>'
        f'<td class="number">{decimal(value)}</td>'
        f'<td class="number faint">{"–" if low is None else f"{decimal(low)} to {decimal(high)}"}</td></tr>'
        for label, part, value, low, high in found
    )
    better = "more is better" if name in LARGER else "less is better"
    return f"""<table class="metric">
<caption>{escape(spoken(name))} <span>{better}</span></caption>
<thead><tr><th scope="col">Examples</th><th scope="col"><span class="unseen">Figure</span>{axis(on)}</th>
<th scope="col" class="number">Value</th><th scope="col" class="number">Interval</th></tr></thead>
<tbody>
{body}
</tbody></table>"""


def _bounds(found: Any) -> tuple[float | None, float | None, float | None]:
    if isinstance(found, Mapping):
        return found["value"], found["low"], found["high"]
    return found, None, None


def _before_and_after(about: Mapping[str, Any]) -> str:
    rows = "\n".join(
        f'<tr><th scope="row">{escape(spoken(name))}</th><td class="number">{decimal(about["before"].get(name))}</td>'
        f'<td class="number">{decimal(value)}</td></tr>'
        for name, value in about["after"].items()
    )
    return f"""<p class="lede">Of the validation examples, before and after. Less is better.</p>
<table class="trials"><thead><tr><th scope="col">Figure</th><th scope="col" class="number">Before</th>
<th scope="col" class="number">After</th></tr></thead><tbody>
{rows}
</tbody></table>"""


def _made(about: Mapping[str, Any], version: str) -> str:
    settings = {k: v for k, v in about["settings"].items() if not isinstance(v, Mapping)}
    groups = {k: v for k, v in about["settings"].items() if isinstance(v, Mapping)}
    notes = [f"Made by shoal {version}."] if version else []
    if about.get("truncated"):
        notes.append(f"{whole(about['truncated'])} texts were longer than the limit and were cut.")
    facts = {k: {name: whole(n) for name, n in about.get(k, {}).items()} for k in ("parameters", "examples")}
    return f"""<div class="halves">
<div><h3>Facts</h3>
{sentences(notes)}
{manifest_list(facts)}
</div>
<div><h3>Settings</h3>
{manifest_list({**{k: json.dumps(v) if v is None else v for k, v in settings.items()}, **groups})}
</div>
</div>"""
