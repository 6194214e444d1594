#!/usr/bin/env python3
"""Write what can be generated: docs/reference and the tree in README.md. With --check, say what is stale instead.

The check also reads the commands in README.md, the tutorial and the guides: each `make` target and each `shoal` command
with its options has to exist.
"""

from __future__ import annotations

import ast
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "shoal"
NOTE = "<!-- Written by scripts/docs.py; change the source, then: make docs -->\n"
TREE = re.compile(r"(<!-- tree -->\n)(.*?)(<!-- /tree -->)", re.DOTALL)
WIDTH = 100


# Modules, in the order of the import contract: the ground first, the command line last.


def order() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    return [name.strip(" ()") for line in reversed(layers) for name in line.split("|")]


def parts() -> Iterator[Path]:
    """Yield the modules and packages right below src/shoal, as far as they are there."""
    for name in order():
        for path in (SOURCE / f"{name}.py", SOURCE / name):
            if path.exists():
                yield path


def modules() -> Iterator[Path]:
    yield SOURCE / "__init__.py"
    for part in parts():
        yield from [part] if part.is_file() else sorted(part.rglob("*.py"))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def first_line(path: Path) -> str:
    docstring = ast.get_docstring(parsed(path))
    if not docstring:
        raise SystemExit(f"{path.relative_to(ROOT)} has no docstring; its first line says what the module is.")
    return re.sub(r" ?\[\d+\]_", "", docstring.splitlines()[0])  # without marks of references


def tree() -> str:
    """Return the source tree, one line a module."""
    rows = []
    for part in parts():
        if part.is_file():
            rows.append((f"  {part.name}", first_line(part)))
            continue
        rows.append((f"  {part.name}/", first_line(part / "__init__.py")))
        inner = [p for p in sorted(part.glob("*.py")) if p.name != "__init__.py"]
        rows += [(f"    {p.name}", first_line(p)) for p in inner]
    width = max(len(name) for name, _ in rows) + 2
    lines = [f"{name:<{width}}{words}" for name, words in rows]
    return "\n".join(["```", "src/shoal/", *lines, "```", ""])


# Reference pages.


def api_page() -> str:
    lines = [NOTE, "# Python\n", "`import shoal` offers:\n"]
    lines += [f"- `shoal.{name}`{_where(home)}" for name, home in face()]
    lines.append("\nBelow stands everything public, module by module.\n")
    for path in modules():
        entries = list(public(parsed(path)))
        if entries and "cli" not in path.parts:
            lines += [f"## {module_name(path)}\n", first_line(path) + "\n"]
            lines += entries
    return "\n".join(lines).rstrip() + "\n"


def face() -> list[tuple[str, str | None]]:
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in parsed(SOURCE / "__init__.py").body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return [(name, values["_HOME"].get(name)) for name in values["__all__"] if name != "__version__"]


def _where(home: str | None) -> str:
    return f" (`{home}`)" if home else ", a module"


def module_name(path: Path) -> str:
    dotted = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
    return dotted.removesuffix(".__init__")


def public(module: ast.Module) -> Iterator[str]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield f"### `{signature(node)}`\n\n{paragraph(node)}\n"
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield _class_entry(node)


def _class_entry(node: ast.ClassDef) -> str:
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    head = f"### class `{node.name}({bases})`" if bases else f"### class `{node.name}`"
    methods = [
        f"- `.{signature(m)}`: {paragraph(m)}"
        for m in node.body
        if isinstance(m, ast.FunctionDef) and not m.name.startswith("_") and ast.get_docstring(m)
    ]
    return "\n".join(
        [f"{head}\n\n{paragraph(node)}\n", *methods, ""] if methods else [f"{head}\n\n{paragraph(node)}\n"]
    )


def signature(node: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    arguments = ast.unparse(node.args)
    if arguments.startswith(("self", "cls")):
        arguments = arguments.partition(",")[2].strip()
    if any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list):
        return f"{node.name}{returns}"
    return f"{node.name}({arguments}){returns}"


def paragraph(node: ast.FunctionDef | ast.ClassDef) -> str:
    """Return the first paragraph of a docstring, on one line."""
    docstring = ast.get_docstring(node) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def cli_page() -> str:
    from typer.main import get_command

    from shoal.cli.main import app

    group = get_command(app)
    lines = [NOTE, "# Command line\n"]
    for name, command in [("", group), *group.commands.items()]:
        path = f"shoal {name}".strip()
        context = command.make_context(path, [], resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH)
        lines += [f"## {path}\n", "```", context.get_help().rstrip(), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def config_page() -> str:
    from shoal.config import Config

    lines = [NOTE, "# Settings\n", "As keyword arguments of `shoal.Config`, or as TOML given by `--config`:\n"]
    lines += ["```toml", "seed = 1", "", "[segment]", "n = 6", "", "[train.optimizer]", 'name = "sgd"', "lr = 0.5"]
    lines += ["```", ""]
    lines += list(_section(Config, ""))
    return "\n".join(lines).rstrip() + "\n"


def _section(model: Any, prefix: str) -> Iterator[str]:
    from pydantic import BaseModel

    words = " ".join((model.__doc__ or "").split("\n\n")[0].split())
    inner: list[tuple[str, Any]] = []
    yield f"## {prefix.rstrip('.') or 'The run'}\n\n{words}\n\n| setting | type | default | |\n|---|---|---|---|"
    for name, field in model.model_fields.items():
        kinds = [k for k in (field.annotation, *get_args(field.annotation)) if isinstance(k, type)]
        models = [k for k in kinds if issubclass(k, BaseModel)]
        inner += [(f"{prefix}{name}", kind) for kind in models]
        if not models:
            about = " ".join((field.description or "").split()).replace("``", "`").replace("|", "\\|")
            yield f"| `{prefix}{name}` | {_type(field)} | {_value(field.default)} | {about} |"
    yield ""
    for name, kind in inner:
        yield from _section(kind, f"{name}.")


def _type(field: Any) -> str:
    kind = field.annotation
    bounds = field.metadata
    words = []
    for one in get_args(kind) if type(None) in get_args(kind) else (kind,):
        if get_origin(one) is not None and not isinstance(one, type) and hasattr(one, "__metadata__"):
            bounds, one = [*bounds, *one.__metadata__], one.__origin__
        if one is not type(None):
            words.append(_kind(one))
    optional = ", or none" if type(None) in get_args(kind) else ""
    return "".join(words) + _bounds(bounds) + optional


def _kind(one: Any) -> str:
    if isinstance(one, type):
        return {"str": "text", "int": "integer", "float": "number", "bool": "true or false"}.get(
            one.__name__, one.__name__
        )
    return ", ".join(f"`{value}`" for value in get_args(one))


def _bounds(metadata: list[Any]) -> str:
    metadata = [*metadata, *(inner for item in metadata for inner in getattr(item, "metadata", []))]
    found = {
        name: getattr(m, name)
        for m in metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(m, name, None) is not None
    }
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return "".join(f", {words[name]} {value:,}" for name, value in found.items())


def _value(default: Any) -> str:
    return "none" if default is None else f"`{default}`"


def errors_page() -> str:
    module = parsed(SOURCE / "errors.py")
    docstring = ast.get_docstring(module) or ""
    tree_lines = [line for line in docstring.splitlines() if line.startswith("    ")]
    words = [p for p in docstring.split("\n\n") if not p.startswith("    ")]
    lines = [NOTE, "# Errors\n", words[0] + "\n", "```", *[line[4:] for line in tree_lines], "```\n"]
    lines += [" ".join(p.split()) + "\n" for p in words[1:]]
    lines += [f"- `{node.name}`: {paragraph(node)}" for node in module.body if isinstance(node, ast.ClassDef)]
    return "\n".join(lines).rstrip() + "\n"


# Writing and checking.


def pages() -> dict[Path, str]:
    """Return what every generated file should hold."""
    reference = ROOT / "docs" / "reference"
    readme = ROOT / "README.md"
    return {
        reference / "api.md": api_page(),
        reference / "cli.md": cli_page(),
        reference / "config.md": config_page(),
        reference / "errors.md": errors_page(),
        readme: TREE.sub(lambda m: m[1] + tree() + m[3], readme.read_text(encoding="utf-8")),
    }


def stale() -> list[str]:
    """Return the generated files that differ from what they should hold."""
    return [
        str(path.relative_to(ROOT))
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def commands(page: Path) -> list[str]:
    """Return the lines of a page's shell blocks, without comments."""
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.removeprefix("$ ").split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def wrong_commands() -> list[str]:
    """Return what the README, the tutorial and the guides tell to type that does not exist."""
    pages = [ROOT / "README.md", ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
    found = [(page.name, line, wrong(line)) for page in pages for line in commands(page)]
    return [f"{page}: {line}: {why}" for page, line, why in found if why]


def wrong(line: str) -> str | None:
    words = shlex.split(line)
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        bad = [w for w in words[1:] if "=" not in w and w not in targets]
        return f"the Makefile has no target {bad[0]}" if bad else None
    return wrong_shoal(words[1:]) if words[0] == "shoal" else None


def wrong_shoal(words: list[str]) -> str | None:
    from typer.exceptions import TyperException
    from typer.main import get_command

    from shoal.cli.main import app

    group = get_command(app)
    if not words or words[0].startswith("-"):
        return None
    if words[0] not in group.commands:
        return f"there is no command shoal {words[0]}"
    try:
        group.commands[words[0]].make_context(words[0], words[1:]).close()
    except TyperException as error:
        return error.format_message()
    return None


def main() -> int:
    if "--check" in sys.argv[1:]:
        problems = [f"{path} is stale" for path in stale()] + wrong_commands()
        print("\n".join(problems), end="\n" if problems else "")
        return 1 if problems else 0
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
