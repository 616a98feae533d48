"""How hard is this code to read? `python benchmarks/readability.py [PACKAGE]` prints a table of what can be counted.

Functions of a module and methods count, nested ones within the function around them. The complexity is radon's; a
test is no function of the package. For another package, name its folder. Packages of another width than ours compare
by the row that writes all of them 88 columns wide.
"""

import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from radon.complexity import cc_visit

ROOT = Path(__file__).parents[1]
COMPLEX = 10
WIDEST_CLASS = 250  # lines
LONGEST_FUNCTION = 40


class Function(NamedTuple):
    place: str
    name: str
    lines: int
    complexity: int


class Class(NamedTuple):
    place: str
    name: str
    lines: int


def main() -> None:
    package = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "watchfolder"
    modules = sorted(package.rglob("*.py"))
    functions = [function for module in modules for function in _functions(module, package)]
    classes = [each for module in modules for each in _classes(module, package)]
    lines = sum(len(module.read_text(encoding="utf-8").splitlines()) for module in modules)
    words = {word for function in functions for word in re.split(r"_+", function.name.lower()) if word}
    names = Counter(each.name for each in classes if not each.name.startswith("_"))
    complexity, length = _means(functions)
    hard = sorted(function for function in functions if function.complexity > COMPLEX)
    rows = [
        ("modules", len(modules)),
        ("lines", lines),
        ("functions", len(functions)),
        ("their mean length, and mean complexity", f"{length:.1f}, {complexity:.1f}"),
        ("distinct words in function names", len(words)),
        ("public class names that stand for two or more things", sum(count > 1 for count in names.values())),
        (f"functions of cyclomatic complexity over {COMPLEX}", len(hard)),
        ("highest complexity", max(function.complexity for function in functions)),
        ("branches per line (mean complexity / mean length)", f"{complexity / length:.2f}"),
        ("... the same, written 88 columns wide", f"{_branches_at_88(package):.2f}"),
        (f"functions over {LONGEST_FUNCTION} lines", sum(function.lines > LONGEST_FUNCTION for function in functions)),
        (f"classes over {WIDEST_CLASS} lines", sum(each.lines > WIDEST_CLASS for each in classes)),
    ]
    for what, value in rows:
        print(f"{what:55} {value:>8}")
    for function in sorted(hard, key=lambda each: -each.complexity):
        print(f"  {function.complexity:3}  {function.place}: {function.name}")
    for each in classes:
        if each.lines > WIDEST_CLASS:
            print(f"  {each.lines:3} lines  {each.place}: class {each.name}")


def _means(functions: list[Function]) -> tuple[float, float]:
    """Return the mean complexity, and the mean length in lines."""
    count = len(functions)
    return sum(each.complexity for each in functions) / count, sum(each.lines for each in functions) / count


def _branches_at_88(package: Path) -> float:
    with TemporaryDirectory() as folder:
        copy = shutil.copytree(package, Path(folder) / "package")
        command = [sys.executable, "-m", "ruff", "format", "--quiet", "--isolated", "--line-length", "88", str(copy)]
        subprocess.run(command, check=True)
        complexity, length = _means([each for module in copy.rglob("*.py") for each in _functions(module, copy)])
    return complexity / length


def _functions(module: Path, package: Path) -> Iterator[Function]:
    place = str(module.relative_to(package))
    text = module.read_text(encoding="utf-8")
    ends = {each.lineno: each.end_lineno or 0 for each in ast.walk(ast.parse(text)) if isinstance(each, ast.stmt)}
    for block in cc_visit(text):
        if hasattr(block, "closures"):  # its own `endline` leaves out a bracket that closes on a line of its own
            yield Function(place, block.name, ends[block.lineno] - block.lineno + 1, block.complexity)


def _classes(module: Path, package: Path) -> Iterator[Class]:
    place = str(module.relative_to(package))
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            yield Class(place, node.name, (node.end_lineno or node.lineno) - node.lineno + 1)


if __name__ == "__main__":
    main()
