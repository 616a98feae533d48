"""What people are told to type works as it stands: wherever they are, and whatever their files are called."""

import subprocess
from pathlib import Path

import pytest

from watchfolder.command_line import Advised, CommandLine, Control, quoted

STOPPED = "kill 7 && while kill -0 7 2>/dev/null; do sleep 1; done; "
NAMES = [
    "a.jpg",
    'my wedding/it\'s "us".jpg',
    "Müller – Straße.jpg",
    "-rf.jpg",
    "$HOME `id` *.jpg",
    "two\nlines.jpg",
    "back\\slash\ttab.jpg",
    "turned\u202eround.jpg",
    "no\udce4utf8.jpg",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_shell_is_told_of_any_name_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    told = quoted(str(path))
    assert "\n" not in told
    assert "\\" not in told
    done = subprocess.run(["sh", "-c", f"rm {told}"], check=False, timeout=30)
    assert done.returncode == 0
    assert not path.exists()


def test_the_configuration_is_named_unless_it_is_found_by_itself() -> None:
    assert CommandLine().to(Advised.RELEASE, "photos") == "watchfolder release photos"
    named = CommandLine("'/opt/our tools/watchfolder'", "/srv/Anna's/config.yaml")
    said = named.to(Advised.ACCEPT, "/srv/in")
    assert said == "'/opt/our tools/watchfolder' check -c '/srv/Anna'\"'\"'s/config.yaml' --accept /srv/in"
    assert named.to(Advised.REGISTER_AGAIN).endswith(
        "watchfolder' webhook register -c '/srv/Anna'\"'\"'s/config.yaml' --replace"
    )


def test_what_takes_root_says_so_where_the_daemon_is_another_user() -> None:
    assert CommandLine(unit="watchfolder").run(Advised.RELEASE, "a") == "as root, run: watchfolder release a"
    assert CommandLine().run(Advised.RELEASE, "a") == "run: watchfolder release a"


def test_inside_a_container_each_command_goes_through_the_engine() -> None:
    inside = CommandLine(in_container=True)
    assert inside.run(Advised.RELEASE, "a") == "run: docker exec watchfolder watchfolder release a"
    assert inside.as_root("chgrp 1 'a b' && chmod g+w 'a b'") == (
        "docker exec -u 0 watchfolder sh -c 'chgrp 1 '\"'\"'a b'\"'\"' && chmod g+w '\"'\"'a b'\"'\"''"
    )
    assert inside.to(Advised.RETRY, "/q/a\n.jpg") == "docker exec watchfolder sh -c 'watchfolder retry /q/a?.jpg'"
    assert inside.run_adopt(1).startswith("run: docker stop watchfolder && docker run --rm --volumes-from watchfolder")
    assert inside.run_adopt(1).endswith(" watchfolder run --once --adopt; docker start watchfolder")


@pytest.mark.parametrize(
    ("verb", "by_unit", "by_hand"),
    [
        (Control.START, "systemctl start w@a (as root)", "watchfolder run"),
        (Control.RESTART, "systemctl restart w@a (as root)", f"{STOPPED}watchfolder run"),
        (Control.RELOAD, "systemctl reload w@a (as root)", "kill -HUP 7"),
    ],
)
def test_the_daemon_is_controlled_by_what_started_it(verb: Control, by_unit: str, by_hand: str) -> None:
    commands = CommandLine()
    assert commands.control(verb, unit="w@a", process=7).words == by_unit
    assert commands.control(verb, unit="", process=7).words == by_hand
    if verb is Control.RESTART:
        assert commands.control(verb, unit="", process=7, is_stuck=True).words == by_hand.replace("kill 7", "kill -9 7")
    of_a_user = commands.control(verb, unit="--user w", process=7)
    assert of_a_user.words == of_a_user.command == f"systemctl {verb} --user w"


def test_adopting_stops_what_runs_and_starts_it_again() -> None:
    assert CommandLine(unit="w@a").run_adopt(7) == (
        "as root, run: systemctl stop w@a && watchfolder run --once --adopt; systemctl start w@a"
    )
    by_hand = f"run: {STOPPED}watchfolder run --once --adopt; watchfolder run"
    assert CommandLine().run_adopt(7) == by_hand
    assert CommandLine().run_adopt(None) == "run: watchfolder run --once --adopt"


def test_of_a_process_whose_number_is_not_known_that_is_said() -> None:
    known = {verb: CommandLine().control(verb, unit="", process=None) for verb in (Control.RESTART, Control.RELOAD)}
    assert [each.words for each in known.values()] == ["stop it, then watchfolder run", "send it SIGHUP"]
    assert {each.command for each in known.values()} == {""}


@pytest.mark.parametrize(
    ("commands", "unit", "told"),
    [
        (CommandLine(), "", f"Export the right KEY in a shell, then {STOPPED}watchfolder run there"),
        (
            CommandLine(),
            "w@a",
            (
                "Write the right KEY into the unit's environment, then systemctl daemon-reload && "
                "systemctl restart w@a (as root)"
            ),
        ),
        (
            CommandLine(),
            "--user w",
            (
                "Write the right KEY into the unit's environment, then systemctl --user daemon-reload && "
                "systemctl restart --user w"
            ),
        ),
        (
            CommandLine(in_container=True),
            "",
            (
                "Write the right KEY into compose.yaml, then, beside it, docker compose up --detach "
                "(without Compose: docker rm --force watchfolder, and run it with that)"
            ),
        ),
    ],
)
def test_another_environment_takes_another_process(commands: CommandLine, unit: str, told: str) -> None:
    assert commands.set_again("KEY", unit=unit, process=7).words == told
