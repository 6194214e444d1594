"""The command `shoal rule`: segments written by hand, their size before they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from shoal.cli.options import AsJson, Folder
from shoal.cli.tables import out, out_json, out_table, talk
from shoal.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

    from shoal.run import Run

Written = Annotated[
    str | None, Argument(metavar="RULE", help="Such as 'event_count > 50 and share(\"Horror\") > 0.2'.")
]
Save = Annotated[str | None, Option(metavar="NAME", help="Keep the rule with the run, under this name.")]
Drop = Annotated[str | None, Option(metavar="NAME", help="Take a rule away from the run.")]
Who = Annotated[str | None, Option("--who", metavar="NAME", help="Who does it.  [default: the login name]")]
Why = Annotated[str, Option("--why", metavar="TEXT", help="Kept beside it.")]


def rule(
    run: Folder,
    rule: Written = None,
    *,
    save: Save = None,
    list_: Annotated[bool, Option("--list", help="Show the rules that are kept with the run.")] = False,
    drop: Drop = None,
    who: Who = None,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Write a segment by hand: see how many users match, and how they lie over the found segments; then keep it.

    A rule compares figures (event_count, rating_count, distinct_items, mean_rating, total_weight, days_since_last,
    days_active, segment, strength), columns of the users table, and share("label"), the share of a user's events
    whose item has that label; has("item"), in_segment("name") and missing(age) are true or false. They are combined
    with and, or, not and parentheses. A rule that matches nobody is refused.

    \b
    Examples:
      shoal rule runs/demo 'event_count > 20 and share("Comedy") > 0.2'
      shoal rule runs/demo 'share("Drama") > 0.3' --save "Drama lovers" --why "spring campaign"
      shoal rule runs/demo --list
    """
    from shoal.pipeline import load

    if [rule is not None, list_, drop is not None].count(True) != 1 or (save is not None and rule is None):
        raise ConfigError("Say one thing: a rule, with --save NAME to keep it; or --list; or --drop NAME.")
    fitted = load(run)
    if drop is not None:
        fitted = fitted.without_rule(drop)
        fitted.update(run)
        talk(f'The rule "{drop}" is gone.')
    if rule is None:
        table = _kept(fitted)
        headers = {"name": "name", "users": "users", "rule": "rule", "who": "by", "when": "when", "why": "why"}
        return out_json(table) if as_json else out_table(table, headers)
    told = _told(fitted, rule)
    if save is not None:
        fitted.with_rule(save, rule, who=who, why=why).update(run)
        talk(f'Kept as "{save.strip()}".')
    return out_json(told) if as_json else _show(told)


def _told(run: Run, text: str) -> dict[str, Any]:
    """Return what a rule comes to."""
    from shoal.segment.rules import overlap, parse

    rule = parse(text)
    ids = run.match(rule)
    if not len(ids):
        raise ConfigError(rule.why_empty(run.data, run.members, run.segments, run.rules))
    users = run.data.users.height
    return {
        "rule": text,
        "size": len(ids),
        "users": users,
        "share": len(ids) / users,
        "overlap": overlap(ids, run.members, run.segments),
    }


def _show(told: dict[str, Any]) -> None:
    from shoal.cli.words import segment_table

    out(f"  {told['size']:,} of {told['users']:,} users match ({100 * told['share']:.1f} %).\n")
    table, _ = segment_table(told["overlap"])
    headers = {"#": "#", "name": "segment", "size": "users", "matched": "match"}
    headers |= {"of_segment": "of the segment", "of_rule": "of the rule"}
    out_table(table, headers, formats={"of_segment": ".1%", "of_rule": ".1%"})


def _kept(run: Run) -> pl.DataFrame:
    """Return the kept rules with their sizes; null where a rule can no longer be asked."""
    import polars as pl

    from shoal.by_hand import saved_rules

    rows = [{**vars(one), "users": _size(run, one.name)} for one in saved_rules(run.extra)]
    schema = {"name": pl.String, "users": pl.Int64, "rule": pl.String, "who": pl.String, "when": pl.String}
    return pl.DataFrame(rows, schema=schema | {"why": pl.String})


def _size(run: Run, name: str) -> int | None:
    try:
        return len(run.match(run.rules[name]))
    except ConfigError as error:
        talk(f'The rule "{name}" can no longer be asked. {error}')
        return None
