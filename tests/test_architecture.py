"""The rules of docs/architecture.md, held by walking the syntax trees of the package."""

import ast
import graphlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import TypeGuard, get_args

import pytest

import watchfolder
from watchfolder.command_line import Advised
from watchfolder.config.sections import ServiceName
from watchfolder.history import EndedFile
from watchfolder.order import Result

PACKAGE = Path(watchfolder.__file__).parent

LAYERS = (
    {"errors", "events", "clock", "timers"},
    {"command_line", "order", "images", "disk", "names", "snapshot", "spreadsheet", "watermark_text"},
    {"config", "counters", "state_file"},
    {"services"},
    {"folders", "health", "history", "pushes", "serials", "work"},
    {"delivery_index", "watcher", "journal", "api", "publish", "quota"},
    {"intake", "pipeline"},
    {"daemon", "quarantine"},
    {"report", "retry"},
    {"notify", "web"},
    {"console"},
    {"__main__"},
)
"""From the ground up; a module imports from below its own layer, and `sandbox`, which stands outside, only itself."""

SIBLINGS = {
    ("publish", "journal"): "each fact of a delivery is durable before the next step",
    ("snapshot", "order"): "a text with a path in it is written in one way",
}
"""Imports within a layer, each with its reason."""

DOORS: Mapping[str, set[str]] = {
    "watchdog": {"watcher"},
    "requests": {"api"},
    "urllib3": {"api"},
    "tenacity": {"api"},
    "yaml": {"config"},
    "sdnotify": {"daemon"},
    "typer": {"console.cli", "console.shell", "console.commands"},
    "click": {"console.cli"},
    "rich": {"console"},
    "flask": {"sandbox", "web"},
    "werkzeug": {"sandbox", "web"},
    "waitress": {"sandbox", "web.server"},
    "PIL": {"sandbox", "web.miniature"},
    "prometheus_client": {"report.metrics"},
    "apprise": {"notify.delivery"},
    "sqlite3": {"delivery_index"},  # writes a file of its own, which may be lost
    "pydantic": {
        "clock",
        "history",
        "order",
        "config",
        "journal",
        "api",
        "snapshot",
        "quota",
        "notify",
        "state_file",
        "serials",
        "folders",
        "sandbox",
    },
    "pydantic_core": {"config"},
    "typing_extensions": {""},
    "_typeshed": {""},
}
"""Which rooms may import which dependency ("" is all of them); what is not listed is imported nowhere.

The standard library is free, but for what is listed here."""

WRITERS = {
    "disk": "its hands are the only ones on the file system",
    "sandbox": "keeps uploads of its own in a temporary place, and imports nothing of the flow",
    "console.commands.demo": "makes the temporary folders that it shows",
}

CHANGING_OS = re.compile(
    r"os\.(l?ch(mod|own)|fch(mod|own)|copy_file_range|f(data)?sync|f?truncate|link|makedirs|mk(dir|fifo|nod)"
    r"|posix_fallocate|remove(dirs|xattr)?|renames?|replace|rmdir|setxattr|symlink|sync|unlink|utime"
    r"|O_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE))"
)
CHANGING_LIBRARIES = re.compile(r"(tempfile|ctypes)\b|shutil\.(?!disk_usage|get_terminal_size|which)")
WRITING_METHODS = {"write_text", "write_bytes", "touch", "symlink_to", "hardlink_to"}
METHODS_OF_PATHS = {"rename", "unlink", "mkdir", "rmdir"}  # where pathlib is imported; `replace` is also a string's
NEVER_AT_IMPORT = {"os.environ", "os.getenv", "threading.Thread", "threading.Timer", "logging.basicConfig"}
DRAWERS = {"util", "utils", "common", "helper", "helpers", "core", "manager", "misc"}
WORDS_OF_A_SENTENCE = 5
LONGEST_CLASS, LONGEST_FUNCTION = 250, 40  # lines; how much a function may branch is for ruff's C901 to say
LOCKS = {f"threading.{each}" for each in ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore")}
FOR_PEOPLE = {"reason", "last_error", "message", "said", "words", "advice", "detail"}  # what holds a sentence
LONGEST_TEST_NAME = 75
OURS = "|".join(sorted({each.split()[0] for each in Advised}))
COMMAND = re.compile(rf"\bwatchfolder ({OURS})\b|\b(systemctl|journalctl|docker) [a-z]")
NAMES_OF_SERVICES = set(get_args(ServiceName))


@dataclass(frozen=True)
class Module:
    """A module of the package: `room` is its name without the package's, `api.budget`; its own `__init__` is ``."""

    room: str
    text: str
    is_package: bool = False

    @classmethod
    def read(cls, path: Path) -> "Module":
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        return cls(".".join(parts[:-1] if is_package else parts), path.read_text(encoding="utf-8"), is_package)

    @property
    def top(self) -> str:
        return self.room.split(".")[0]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def names(self) -> dict[str, str]:
        """What each imported name stands for: {"rename": "os.rename", "path": "os.path"}."""
        return {
            alias.asname or alias.name.split(".")[0]: dotted if alias.asname or source else dotted.split(".")[0]
            for source, alias in self._imports()
            for dotted in [f"{source}.{alias.name}" if source else alias.name]
        }

    @cached_property
    def imported(self) -> set[str]:
        """Everything that is imported, wherever in the module, in full: {"os", "watchfolder.disk.Place"}."""
        return {f"{source}.{alias.name}" if source else alias.name for source, alias in self._imports()}

    def _imports(self) -> Iterator[tuple[str, ast.alias]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (("", alias) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((self._absolute(node), alias) for alias in node.names)

    def _absolute(self, node: ast.ImportFrom) -> str:
        here = ["watchfolder", *filter(None, self.room.split("."))]
        above = here[: len(here) - node.level + self.is_package] if node.level else []
        return ".".join([*above, *([node.module] if node.module else [])])

    def dotted(self, node: ast.expr) -> str:
        """Return what `node` names in full, or nothing if it is no plain name."""
        match node:
            case ast.Name(id=name):
                return self.names.get(name, name)
            case ast.Attribute(value=value, attr=attr):
                return f"{whole}.{attr}" if (whole := self.dotted(value)) else ""
        return ""

    def mentions(self, nodes: Iterable[ast.AST]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.Name | ast.Attribute) and (name := self.dotted(node)):
                yield name

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))

    def stands_in(self, rooms: Iterable[str]) -> bool:
        return any(not room or f"{self.room}.".startswith(f"{room}.") for room in rooms)


def imports_that_do_not_point_down(module: Module) -> Iterator[str]:
    for name in sorted(name for name in module.imported if name.startswith("watchfolder.")):
        target = name.split(".")[1]
        if target in {module.top, "__version__"}:
            continue
        if "sandbox" in {module.top, target}:
            if module.top != "console":
                yield f"imports {name}"
        elif layer_of(target) >= layer_of(module.top) and (module.top, target) not in SIBLINGS:
            yield f"imports {name}"


def layer_of(top: str) -> int:
    """Return the layer's number; the package itself is lower than all, since its name and version are everybody's."""
    return -1 if not top else next((number for number, rooms in enumerate(LAYERS) if top in rooms), len(LAYERS))


def rooms_that_are_on_no_plan(module: Module) -> Iterator[str]:
    if module.top not in {"", "sandbox"} and layer_of(module.top) == len(LAYERS):
        yield "is in no layer"


def dependencies_through_another_door(module: Module) -> Iterator[str]:
    for package in sorted(
        {name.split(".")[0] for name in module.imported} - (sys.stdlib_module_names - DOORS.keys()) - {"watchfolder"}
    ):
        if not module.stands_in(DOORS.get(package, set())):
            yield f"imports {package}"


def writing_elsewhere(module: Module) -> Iterator[str]:
    if module.stands_in(WRITERS):
        return
    for name in sorted({*module.imported, *module.mentions(ast.walk(module.tree))}):
        if CHANGING_OS.fullmatch(name) or CHANGING_LIBRARIES.match(name):
            yield name
    yield from (f"line {call.lineno}: {ast.unparse(call.func)}" for call in module.calls() if writes(module, call))


def writes(module: Module, call: ast.Call) -> bool:
    name = module.dotted(call.func)
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if name in {"open", "io.open", "os.fdopen"}:
        return mode_writes(call, position=1)
    if name == "os.open" or name.startswith("watchfolder.disk."):  # the first is known by its flags
        return False
    if method == "open":
        return mode_writes(call, position=0)
    has_paths = any(name.split(".")[0] == "pathlib" for name in module.imported)
    return method in WRITING_METHODS or (has_paths and method in METHODS_OF_PATHS)


def mode_writes(call: ast.Call, *, position: int) -> bool:
    """Tell whether a file is, or may be, opened for writing: a mode that cannot be read here counts."""
    modes = [*call.args[position : position + 1], *(word.value for word in call.keywords if word.arg == "mode")]
    return any(not isinstance(mode, ast.Constant) or re.search("[wax+]", str(mode.value)) for mode in modes)


def acts_at_import(module: Module) -> Iterator[str]:
    for name in sorted(set(module.mentions(run_at_import(module.tree.body)))):
        if any(f"{name}.".startswith(f"{never}.") for never in NEVER_AT_IMPORT):
            yield name


def run_at_import(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Walk what is executed when the module is imported: all but the bodies of functions, and annotations."""
    for node in nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from run_at_import(
                    [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
                )
            case ast.Lambda():
                yield from run_at_import([*node.args.defaults, *filter(None, node.args.kw_defaults)])
            case ast.AnnAssign(value=value):
                yield from run_at_import([value] if value else [])
            case _:
                yield node
                yield from run_at_import(ast.iter_child_nodes(node))


def printing_outside_the_console(module: Module) -> Iterator[str]:
    if module.top != "console":
        yield from (f"line {call.lineno}: print" for call in module.calls() if module.dotted(call.func) == "print")


def drawers(module: Module) -> Iterator[str]:
    yield from (f"is called {part}" for part in module.room.split(".") if part in DRAWERS)


def no_sentence_first(module: Module) -> Iterator[str]:
    first = (ast.get_docstring(module.tree) or "").partition("\n\n")[0]
    if not re.search(r"[.?]( |\n|$)", first):
        yield "does not begin with a sentence that says what it is for"


def sets_of_states(module: Module) -> Iterator[str]:
    """Find a choice among the states that stands beside the one table of them."""
    for node in ast.walk(module.tree) if module.room != "order" else ():
        match node:
            case ast.Set(elts=chosen) | ast.Tuple(elts=chosen) | ast.List(elts=chosen):
                pass
            case ast.BoolOp(op=ast.Or(), values=values):
                chosen = [each.comparators[0] for each in values if isinstance(each, ast.Compare)]
            case _:
                continue
        names = [module.dotted(each) for each in chosen]
        if sum(bool(re.match(r"(watchfolder\.order\.State|_S)\.", name)) for name in names) > 1:
            yield f"line {node.lineno}: {ast.unparse(node)}"


def too_long(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, _MAKES):
            most = LONGEST_CLASS if isinstance(node, ast.ClassDef) else LONGEST_FUNCTION
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > most:
                yield f"{node.name} has {lines} lines"


def locks_that_others_take(module: Module) -> Iterator[str]:
    """Find a lock whose name is not private, so that it can be taken elsewhere; ruff refuses the private ones there."""
    for node in ast.walk(module.tree) if module.top != "sandbox" else ():
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [ast.unparse(target) for target in targets]
            if LOCKS & set(module.mentions(ast.walk(node.value))):
                yield from (name for name in names if not name.split(".")[-1].startswith("_"))
    yield from (f"imports {name}" for name in sorted(module.imported) if re.match(r"watchfolder\..*\._[a-z]", name))


def decisions_by_words(module: Module) -> Iterator[str]:
    """Find who asks a sentence for people what is so: there is a fact that says it."""
    written = set(_names_of_texts(module))
    for node in ast.walk(module.tree):
        match node:
            case ast.Compare(left=left, comparators=comparators):
                sides = [left, *comparators]
            case ast.Call(func=ast.Attribute(value=whole, attr="startswith" | "endswith" | "find"), args=args):
                sides = [whole, *args]
            case ast.Match(subject=subject, cases=cases):
                sides = [subject, *(each.value for case in cases for each in ast.walk(case.pattern) if _is_value(each))]
            case ast.UnaryOp(op=ast.Not(), operand=ast.Attribute(attr="last_error")):
                yield f"line {node.lineno}: {ast.unparse(node)}"
                continue
            case _:
                continue
        if any(_is_for_people(one) and _says_words(other, written) for one, other in permutations(sides, 2)):
            yield f"line {node.lineno}: {ast.unparse(node).splitlines()[0]}"


def _is_value(node: ast.AST) -> TypeGuard[ast.MatchValue]:
    return isinstance(node, ast.MatchValue)


def _is_for_people(node: ast.expr) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in FOR_PEOPLE
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=name)]):
            return name in {"error", "fault", "refusal"}
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name.startswith("why")
    return False


def _says_words(node: ast.expr, written: set[str]) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) if name.isupper():
            return True
        case ast.Name(id=name):
            return name in written
        case ast.Constant() | ast.JoinedStr() | ast.Tuple() | ast.Set() | ast.List():
            texts = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
            return any(isinstance(text, str) and re.search("[a-z]", text, re.IGNORECASE) for text in texts)
    return False


def _names_of_texts(module: Module) -> Iterator[str]:
    """Give the names of what is a text that this module writes out."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assign):
            (target, *_), value = node.targets, node.value
            pairs = (
                zip(target.elts, value.elts, strict=False)
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
                else [(target, value)]
            )
            yield from (name.id for name, text in pairs if isinstance(name, ast.Name) and _says_words(text, set()))


def names_of_services(module: Module) -> Iterator[str]:
    """Find who knows a service by its name, and not by its `Flow`."""
    if module.top not in {"services", "config", "sandbox", "console"}:
        yield from (f"says {text}" for text in texts_of(module) if text in NAMES_OF_SERVICES)


def commands_in_words(module: Module) -> Iterator[str]:
    """Find who says what to type without the one room that knows how it is typed here."""
    if module.room != "command_line":
        yield from (f"says {text}" for text in texts_of(module) if COMMAND.search(text))


def keys_of_the_history(module: Module) -> Iterator[str]:
    """Find who knows the keys of the receipts' lines beside the one schema of them."""
    own = {key for key in EndedFile.model_fields if key.startswith("delivered_")} - Result.model_fields.keys()
    if module.room != "history":
        yield from (f"says {text}" for text in texts_of(module) if text in own)


_MAKES = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

RULES: tuple[Callable[[Module], Iterator[str]], ...] = (
    imports_that_do_not_point_down,
    rooms_that_are_on_no_plan,
    dependencies_through_another_door,
    writing_elsewhere,
    acts_at_import,
    printing_outside_the_console,
    drawers,
    no_sentence_first,
    sets_of_states,
    too_long,
    locks_that_others_take,
    decisions_by_words,
    names_of_services,
    commands_in_words,
    keys_of_the_history,
)

MODULES = [Module.read(path) for path in sorted(PACKAGE.rglob("*.py"))]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Callable[[Module], Iterator[str]]) -> None:
    assert len(MODULES) > 1
    assert [f"{module.room or '__init__'}: {fault}" for module in MODULES for fault in rule(module)] == []


def test_a_public_class_name_stands_for_one_thing() -> None:
    rooms: dict[str, list[str]] = {}
    for module in MODULES:
        if module.top != "sandbox":
            for node in ast.walk(module.tree):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    rooms.setdefault(node.name, []).append(module.room)
    assert {name: found for name, found in rooms.items() if len(found) > 1} == {}


def test_the_name_of_a_test_is_a_sentence_that_fits_a_line() -> None:
    names = [
        name for path in Path(__file__).parent.rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    ]
    assert names
    assert [name for name in names if len(name) > LONGEST_TEST_NAME] == []


def test_a_package_only_hands_on_what_its_modules_make() -> None:
    made = {
        module.room: [ast.unparse(node)[:60] for node in module.tree.body if isinstance(node, _MAKES)]
        for module in MODULES
        if module.is_package and module.room
    }
    assert {room: nodes for room, nodes in made.items() if nodes} == {}


def test_a_package_hands_on_what_others_take_and_nothing_else() -> None:
    beside = [path for folder in ("tests", "benchmarks", "docs") for path in (PACKAGE.parent / folder).rglob("*.py")]
    takers = [*MODULES, *(Module("", path.read_text(encoding="utf-8")) for path in beside)]
    taken = [(taker.top, {*taker.imported, *taker.mentions(ast.walk(taker.tree))}) for taker in takers]
    for package in (module for module in MODULES if module.is_package and module.room):
        here = f"watchfolder.{package.room}."
        by_others = set().union(*(names for top, names in taken if top != package.top))
        assert [name for name, made in package.names.items() if not made.startswith(here)] == []
        assert [name for name in package.names if here + name not in by_others] == []


def test_the_tests_of_a_module_or_package_bear_its_name() -> None:
    files = [
        path.stem for level in ("unit", "integration") for path in (Path(__file__).parent / level).glob("test_*.py")
    ]
    tops = {module.top for module in MODULES if module.top}
    assert [name for name in files if not any(f"{name}_".startswith(f"test_{top}_") for top in tops)] == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    rooms = {module.room for module in MODULES}
    graph = {module.room: {room_of(name, rooms) for name in module.imported} - {"", module.room} for module in MODULES}
    graphlib.TopologicalSorter(graph).prepare()


def test_a_sentence_for_people_is_written_in_one_room_alone() -> None:
    twice = sentences_of_several([module for module in MODULES if module.top != "sandbox"])
    assert twice == {}, "keep it where it belongs and import it from there"


def test_a_sentence_that_two_rooms_write_is_found_also_within_a_longer_one() -> None:
    text = 'def f(name: str) -> str:\n    """It is no plain file at all."""\n    return {}'
    plain, longer = text.format('"it is no plain file."'), text.format('f"{name}: it is no plain file: {name}"')
    modules = [Module("disk", plain), Module("intake", longer), Module("order", text.format('"it is no file"'))]
    assert sentences_of_several(modules) == {"it is no plain file": {"disk", "intake"}}


def sentences_of_several(modules: Iterable[Module]) -> dict[str, set[str]]:
    """Return the texts of five words and more, other than docstrings, that stand in more than one module."""
    rooms: dict[str, set[str]] = {}
    for module in modules:
        for text in texts_of(module):
            if len(text.split()) >= WORDS_OF_A_SENTENCE:
                rooms.setdefault(text.strip(" .:;,()").lower(), set()).add(module.room)
    return {text: found for text, found in rooms.items() if len(found) > 1}


def texts_of(module: Module) -> Iterator[str]:
    docstrings = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def room_of(name: str, rooms: set[str]) -> str:
    """Return the room that an imported name comes from: `watchfolder.disk.Place` from `disk`."""
    parts = name.split(".")[1:] if name.startswith("watchfolder.") else []
    known = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((room for room in known if room in rooms), "")


@pytest.mark.parametrize(
    ("rule", "room", "text", "fault"),
    [
        (imports_that_do_not_point_down, "disk", "import watchfolder.journal", "imports watchfolder.journal"),
        (imports_that_do_not_point_down, "journal", "from watchfolder import intake", "imports watchfolder.intake"),
        (
            imports_that_do_not_point_down,
            "watcher",
            "from watchfolder.api import Service",
            "imports watchfolder.api.Service",
        ),
        (imports_that_do_not_point_down, "api.calls", "from ..daemon import run", "imports watchfolder.daemon.run"),
        (
            imports_that_do_not_point_down,
            "errors",
            "def f():\n from watchfolder.order import Order",
            "imports watchfolder.order.Order",
        ),
        (imports_that_do_not_point_down, "sandbox.state", "from watchfolder import order", "imports watchfolder.order"),
        (imports_that_do_not_point_down, "daemon", "from watchfolder import sandbox", "imports watchfolder.sandbox"),
        (rooms_that_are_on_no_plan, "attic", "", "is in no layer"),
        (dependencies_through_another_door, "pipeline", "import requests.adapters", "imports requests"),
        (dependencies_through_another_door, "console.status", "from typer import echo", "imports typer"),
        (dependencies_through_another_door, "configuration", "import yaml", "imports yaml"),
        (dependencies_through_another_door, "api", "import numpy", "imports numpy"),
        (dependencies_through_another_door, "journal", "import sqlite3", "imports sqlite3"),
        (writing_elsewhere, "journal", "import os\nos.rename('a', 'b')", "os.rename"),
        (writing_elsewhere, "journal", "import os as system\nsystem.fsync(1)", "os.fsync"),
        (writing_elsewhere, "journal", "from os import replace as swap", "os.replace"),
        (writing_elsewhere, "journal", "import os\nundo = os.unlink", "os.unlink"),
        (writing_elsewhere, "journal", "import os\nos.open('a', os.O_RDWR)", "os.O_RDWR"),
        (writing_elsewhere, "journal", "from shutil import move", "shutil.move"),
        (writing_elsewhere, "journal", "open('a', 'wb')", "line 1: open"),
        (writing_elsewhere, "journal", "open('a', mode='r+')", "line 1: open"),
        (writing_elsewhere, "journal", "open('a', how)", "line 1: open"),
        (writing_elsewhere, "journal", "import os\nos.fdopen(3, 'a')", "line 2: os.fdopen"),
        (writing_elsewhere, "journal", "path.open('x')", "line 1: path.open"),
        (writing_elsewhere, "journal", "path().write_text('a')", "line 1: path().write_text"),
        (writing_elsewhere, "journal", "from pathlib import Path\nPath('a').unlink()", "line 2: Path('a').unlink"),
        (writing_elsewhere, "journal", "import tempfile", "tempfile"),
        (commands_in_words, "report", "x = f'{y}: watchfolder retry NAME'", "says : watchfolder retry NAME"),
        (commands_in_words, "report", "x = 'then systemctl reload it'", "says then systemctl reload it"),
        (acts_at_import, "config", "import os\nHOME = os.environ['HOME']", "os.environ"),
        (acts_at_import, "config", "from os import getenv\ndef f(home=getenv('HOME')): ...", "os.getenv"),
        (acts_at_import, "config", "import threading\nclass A:\n  t = threading.Thread()", "threading.Thread"),
        (acts_at_import, "config", "import logging\nif True:\n  logging.basicConfig()", "logging.basicConfig"),
        (printing_outside_the_console, "daemon", "def f():\n  print('a')", "line 2: print"),
        (drawers, "api.utils", "", "is called utils"),
        (no_sentence_first, "api", "import os", "does not begin with a sentence that says what it is for"),
        (
            sets_of_states,
            "pipeline",
            "from watchfolder.order import State\nA = {State.CREATED, State.CLAIMED}",
            "line 2: {State.CREATED, State.CLAIMED}",
        ),
        (
            sets_of_states,
            "pipeline",
            "from watchfolder.order import State\na = o.state is State.CREATED or o.state is State.CLAIMED",
            "line 2: o.state is State.CREATED or o.state is State.CLAIMED",
        ),
        (too_long, "api", "def f():\n" + "  a\n" * 40, "f has 41 lines"),
        (too_long, "api", "class A:\n" + "  a\n" * 250, "A has 251 lines"),
        (locks_that_others_take, "api", "import threading\nclass A:\n  a = threading.Lock()", "a"),
        (
            locks_that_others_take,
            "api",
            "import threading\nclass A:\n  a: threading.Lock = field(default_factory=threading.Lock)",
            "a",
        ),
        (locks_that_others_take, "api", "from threading import RLock\ndef f(self):\n  self.a = RLock()", "self.a"),
        (
            locks_that_others_take,
            "api",
            "from watchfolder.disk.moves import _turns",
            "imports watchfolder.disk.moves._turns",
        ),
        (
            decisions_by_words,
            "work",
            "from watchfolder import disk\nreason == disk.HELD",
            "line 2: reason == disk.HELD",
        ),
        (decisions_by_words, "work", "if o.last_error != _LATE: a", "line 1: o.last_error != _LATE"),
        (
            decisions_by_words,
            "work",
            "a, b = 'it is late', 1\no.last_error != a",
            "line 2: o.last_error != a",
        ),
        (decisions_by_words, "work", "if a and not o.last_error: b", "line 1: not o.last_error"),
        (decisions_by_words, "work", "'full' in str(error)", "line 1: 'full' in str(error)"),
        (decisions_by_words, "work", "e.reason.startswith('it')", "line 1: e.reason.startswith('it')"),
        (decisions_by_words, "work", "match e.reason:\n  case 'it is': a", "line 1: match e.reason:"),
        (names_of_services, "pipeline", 'if order.service == "anti-ai":\n    pass', "says anti-ai"),
        (no_sentence_first, "api", '"""Calls"""', "does not begin with a sentence that says what it is for"),
    ],
)
def test_a_breach_is_found(rule: Callable[[Module], Iterator[str]], room: str, text: str, fault: str) -> None:
    assert fault in list(rule(Module(room, text)))


@pytest.mark.parametrize(
    ("room", "text"),
    [
        ("", '"""A."""\n__version__ = "1"'),
        ("journal", '"""A."""\nfrom watchfolder import __version__, disk\nfrom watchfolder.order import Order'),
        ("api.calls", '"""A."""\nimport requests\nfrom .table import ERRORS\nfrom watchfolder.api.pace import Pace'),
        ("console.cli", '"""A."""\nimport typer\nfrom watchfolder.sandbox import Sandbox\nprint("a")'),
        ("disk.moves", '"""A."""\nimport os, ctypes\nos.rename("a", "b")\nopen("a", "w")'),
        ("journal", '"""A."""\nfrom watchfolder import disk\ndisk.unlink("a")\nopen("a", "rb")\n"a".replace("b", "c")'),
        ("journal", '"""A."""\nimport os, shutil\nos.open("a", os.O_RDONLY)\nshutil.disk_usage("a")'),
        ("daemon", '"""A."""\nimport os, threading\ndef f(t: threading.Thread) -> None:\n  os.environ["A"]'),
        ("daemon", '"""A."""\nimport threading\nt: threading.Thread | None = None'),
    ],
)
def test_what_is_allowed_is_let_through(room: str, text: str) -> None:
    assert [fault for rule in RULES for fault in rule(Module(room, text))] == []


def test_every_room_of_the_plan_exists() -> None:
    assert {room for layer in LAYERS for room in layer} - {module.top for module in MODULES} == set()


def test_the_page_shows_the_layers_in_their_order() -> None:
    page = (PACKAGE.parent / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (`.*?`) \|", page, re.MULTILINE)
    shown = [(int(number), name) for number, names in rows for name in re.findall(r"`(\w+)`", names)]
    assert shown == sorted(shown, key=lambda each: each[0])
    assert sorted(shown) == sorted((number, name) for number, layer in enumerate(LAYERS, 1) for name in layer)
