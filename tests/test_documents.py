"""What the documents say about the program, read by the machine and compared with the program."""

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from itertools import dropwhile, takewhile
from pathlib import Path

import pytest
import yaml
from pydantic.fields import FieldInfo

from watchfolder.config import ApiSection, Config, HttpSection, Inbox, WebhookSection, load
from watchfolder.config.sections import OF_SERVICES, WatermarkSection
from watchfolder.errors import ConfigError
from watchfolder.order import TRANSITIONS, State

ROOT = Path(__file__).parents[1]
EXAMPLE = yaml.safe_load((ROOT / "config.example.yaml").read_text(encoding="utf-8"))


def diagram() -> str:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    found = re.search(r"^```mermaid\nstateDiagram-v2\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None, "docs/architecture.md has no mermaid block that begins with stateDiagram-v2"
    return found[1]


def test_the_diagram_shows_exactly_the_transitions_of_the_journal() -> None:
    arrows = re.findall(r"^\s*(\w+)\s*-->\s*(\w+)\b", diagram(), re.MULTILINE)
    assert len(arrows) == len(set(arrows))
    assert set(arrows) == {(str(before), str(after)) for before, states in TRANSITIONS.items() for after in states}


def test_every_state_stands_in_the_table_and_in_the_diagram() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {name for name in re.findall(r"\w+", diagram()) if name in set(State)} == set(State)


def test_an_order_begins_where_the_diagram_begins() -> None:
    assert re.findall(r"^\s*\[\*\]\s*-->\s*(\w+)", diagram(), re.MULTILINE) == [State.CLAIMING]


def test_the_way_of_a_picture_names_what_is_in_the_code() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+[.]py):([\w.]+)`", text)
    assert len(named) > 20
    assert not {f"{file}:{name}" for file, name in named if name not in defined_in(ROOT / "watchfolder" / file)}


def defined_in(module: Path) -> set[str]:
    """Return what a module defines: functions, classes, constants, and a class's methods."""
    names = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


@pytest.mark.parametrize("decision", sorted((ROOT / "docs/decisions").iterdir()), ids=lambda path: path.stem)
def test_a_decision_is_short_dated_and_says_what_was_decided(decision: Path) -> None:
    title, _, date, _, decided, *_ = decision.read_text(encoding="utf-8").splitlines()
    assert title.startswith("# ")
    assert decision.name.startswith(f"{date}-")
    assert decided.startswith("**Decided.** ")
    assert len(decision.read_text(encoding="utf-8").split()) < 700


def test_architecture_is_one_page() -> None:
    assert len((ROOT / "docs/architecture.md").read_text(encoding="utf-8").splitlines()) < 220


def test_the_document_of_the_commands_shows_what_help_says() -> None:
    program = Path(sys.executable).with_name("watchfolder")
    environment = {"COLUMNS": "100", "TERM": "dumb", "LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}
    said = subprocess.run([program, "--help"], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert block_after("$ watchfolder --help") == normalised(said.stdout.splitlines())


def test_the_manual_page_says_what_help_says() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "docs/manual.py"], capture_output=True, text=True, timeout=60, check=True
    )
    kept = (ROOT / "docs/watchfolder.1").read_text(encoding="utf-8")
    assert made.stdout == kept, "run: make man"


def test_the_manual_page_names_no_type_of_the_programming_language() -> None:
    said = (ROOT / "docs/watchfolder.1").read_text(encoding="utf-8")
    assert [each for each in re.findall("<[a-z][^>]*>", said) if "|" not in each] == []


def test_the_manual_page_is_set_without_a_warning() -> None:
    if shutil.which("groff") is None and not os.environ.get("CI"):
        pytest.skip("groff is not installed: apt-get install groff-base")
    command = ["groff", "-man", "-Tutf8", "-ww", str(ROOT / "docs/watchfolder.1")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Watch the inboxes, in the foreground" in done.stdout


def test_the_readme_starts_the_container_as_the_page_about_it_does() -> None:
    readme, page = (shell_blocks(ROOT / name) for name in ("README.md", "docs/install/docker.md"))
    assert page[0] in readme


def shell_blocks(document: Path) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_every_link_leads_to_a_file_and_its_heading() -> None:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    assert [str(document) + ": " + link for document in documents for link in dead_links(document)] == []


def dead_links(document: Path) -> Iterator[str]:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)|src=\"([^\"]+)\"", document.read_text(encoding="utf-8")):
        path, _, heading = "".join(link).partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (heading and heading not in headings(target)):
            yield "".join(link)


def headings(document: Path) -> set[str]:
    """Return the names by which GitHub knows the headings of a document."""
    found = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", ["synology", "qnap", "truenas"])
def test_each_nas_is_told_what_compose_yaml_says(page: str) -> None:
    text = (ROOT / f"docs/install/{page}.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    service = yaml.safe_load(told)["services"]["watchfolder"]
    ours = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["watchfolder"]
    only_here, bound_elsewhere = {"pull_policy"}, {"volumes", "environment"}
    same = service.keys() - only_here - bound_elsewhere
    assert {key: service[key] for key in same} == {key: ours[key] for key in same}
    assert service["environment"].keys() <= ours["environment"].keys()
    assert [each.split(":")[1] for each in service["volumes"]] == [each.split(":")[1] for each in ours["volumes"]]


@pytest.mark.parametrize(
    "document", ["README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
)
def test_every_configuration_that_is_shown_is_one(document: str, tmp_path: Path) -> None:
    shown = re.findall(r"^ *```yaml\n(.*?)^ *```", (ROOT / document).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    faults = []
    for number, text in enumerate(shown):
        tree = {"inboxes": EXAMPLE["inboxes"]} | yaml.safe_load(textwrap.dedent(text))
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(tree), encoding="utf-8")
        try:
            load(str(path), {"BIZMORI_API_KEY": "sk_live_0123456789"})
        except ConfigError as error:
            faults += [fault for fault in error.faults if "_file: " not in fault]  # which is not there
    assert faults == []


_SECTIONS = {"api", "inboxes", "http", "webhook"}


def fields_of_inbox() -> Iterator[tuple[str, FieldInfo]]:
    for name in Inbox.key_names():
        if name == "watermark":
            yield from ((f"{name}.{key}", WatermarkSection.model_fields[key]) for key in WatermarkSection.key_names())
        else:
            yield name, Inbox.model_fields[name]


FIELDS = {
    **{f"api.{name}": ApiSection.model_fields[name] for name in ApiSection.key_names()},
    **{name: Config.model_fields[name] for name in Config.key_names() if name not in _SECTIONS},
    **{f"http.{name}": HttpSection.model_fields[name] for name in HttpSection.key_names()},
    **{f"webhook.{name}": WebhookSection.model_fields[name] for name in WebhookSection.key_names()},
    **{f"inboxes.NAME.{name}": field for name, field in fields_of_inbox()},
}


def test_the_configuration_s_table_names_every_field_and_no_other() -> None:
    assert [name for name, _ in configuration_table()] == list(FIELDS)


def test_the_configuration_s_table_shows_the_defaults() -> None:
    shown = {name: yaml.safe_load(cell.strip("`")) for name, cell in configuration_table() if cell.startswith("`")}
    optional = {name: field.default for name, field in FIELDS.items() if not field.is_required()}
    assert shown == {name: default for name, default in optional.items() if default not in {None, "", ()}}
    required = {name for name, cell in configuration_table() if cell == "required"}
    assert required == {name for name, field in FIELDS.items() if field.is_required()}


def configuration_table() -> list[tuple[str, str]]:
    """Return name and default of each row of the table in docs/configuration.md."""
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([\w.]+)` \| (.*?) \|", text, re.MULTILINE)


def test_the_table_of_the_services_says_which_settings_each_has() -> None:
    text = (ROOT / "docs/services.md").read_text(encoding="utf-8")
    head, *rows = re.findall(r"^\| (?:setting|`\w+`) \|.*\|$", text, re.MULTILINE)
    services = re.findall("`([a-z-]+)`", head)
    shown = {}
    for row in rows:
        key, *marks = (cell.strip(" `") for cell in row.strip("|").split("|"))
        shown[key] = {service for service, mark in zip(services, marks, strict=True) if mark}
    assert shown == {key: of.services for key, of in OF_SERVICES.items()}


def block_after(command: str) -> list[str]:
    """Return what docs/commands.md shows below `command`, up to the end of its fenced block."""
    lines = (ROOT / "docs/commands.md").read_text(encoding="utf-8").splitlines()
    rest = list(dropwhile(lambda line: line.strip() != command, lines))[1:]
    assert rest, f"docs/commands.md has no line `{command}`"
    return normalised(list(takewhile(lambda line: not line.startswith("```"), rest)))


def normalised(lines: list[str]) -> list[str]:
    return [line.rstrip() for line in lines if line.strip()]
