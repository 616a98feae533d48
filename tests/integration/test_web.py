"""The page over real HTTP: who is let in, what each address tells, and what it never does."""

import base64
import http.client
import io
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
import yaml
from contents import sha256
from free_ports import free_port
from made_orders import made_file, made_order
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from waiting import wait_until

from watchfolder import config, retry
from watchfolder.config import Config
from watchfolder.journal import Journal
from watchfolder.order import Result, State
from watchfolder.pushes import Pushes
from watchfolder.report import status as states
from watchfolder.sandbox.pictures import sample
from watchfolder.snapshot import InboxSnapshot, Snapshot
from watchfolder.web import Page, WaitingPage

KEY = "sk_live_never_to_be_shown"
PASSWORD = "correct horse battery"  # noqa: S105 - of these tests
NOW = datetime.now(UTC)
WELL = Snapshot(at=NOW, pid=1, version="1", started=NOW, inboxes={"photos": InboxSnapshot(is_open=True, waiting=2)})


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Office:
    """Folders, a configuration, and the page that is served of it."""

    root: Path
    port: int
    page: Page

    def config(self, port: int | None = None, **http: str | None) -> Config:
        for name in ("inbox", "outbox", "quarantine", "originals", "state"):
            (self.root / name).mkdir(exist_ok=True)
        paths = {name: str(self.root / name) for name in ("outbox", "quarantine", "originals")}
        tree = {
            "state_dir": str(self.root / "state"),
            "inboxes": {"photos": {"path": str(self.root / "inbox"), **paths}},
            "http": {"listen": f"127.0.0.1:{self.port if port is None else port}"} | http,
        }
        file = self.root / "config.yaml"
        file.write_text(yaml.safe_dump(tree), encoding="utf-8")
        return config.load(str(file), {"BIZMORI_API_KEY": KEY})

    def ask(self, path: str, headers: Mapping[str, str] | None = None, form: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = urlencode(form) if form is not None else None
            kind = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
            connection.request("GET" if form is None else "POST", path, sent, {**kind, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def press(self, name: str, headers: Mapping[str, str] | None = None, **changed: str) -> Answer:
        """Press the button beside the file with this name."""
        item = next(each for each in self.ask("/").text.split("<li ")[1:] if name in each)
        return self.ask("/retry", headers, dict(re.findall(r'name="(\w+)" value="(\w+)"', item)) | changed)

    def set_aside(self, name: str) -> Path:
        path = self.root / "quarantine" / name
        path.write_bytes(b"a picture")
        return path

    def deliver(self, name: str, after: bytes, before: bytes = b"an original", recipient: str | None = None) -> None:
        """Put a delivery into outbox, originals and history, as the daemon does."""
        (self.root / "outbox" / name).write_bytes(after)
        (self.root / "originals" / name).write_bytes(before)
        digest = sha256(after)
        results = (
            Result(recipient=recipient, delivery=name, delivered_at=datetime.now(UTC), sha256=digest, size=len(after)),
        )
        file = made_file(name, size=len(before), sha256=sha256(before), results=results)
        order = made_order(file, key=f"00000000-0000-4000-8000-{digest[:12]}", state=State.COMPLETED)
        journal = Journal(str(self.root / "state"))
        order = journal.advance(journal.enter(order), State.DELIVERED)
        journal.record(order)
        journal.forget(order)

    def thumbnails(self) -> list[str]:
        return re.findall(r'src="(/thumbnails/\w+)"', self.ask("/").text)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Office]:
    with serve(tmp_path) as office:
        office.page.follow(office.config())
        office.page.see(WELL)
        yield office


class serve:  # noqa: N801 - reads as a verb
    def __init__(self, root: Path) -> None:
        self._house = Office(root, free_port(), Page(config.HttpSection(), Pushes()))

    def __enter__(self) -> Office:
        return self._house

    def __exit__(self, *_: object) -> None:
        self._house.page.close()


def seen(**facts: object) -> Snapshot:
    return WELL.model_copy(update=facts)


# Who is let in


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8686", "127.0.0.1.evil.example", "10.0.0.7", ""])
def test_a_foreign_name_that_points_here_is_shown_nothing(served: Office, host: str) -> None:
    for path in ("/", "/main", "/healthz", "/metrics", "/api/status"):
        answer = served.ask(path, {"Host": host})
        assert answer.status in {400, 403}
        assert b"photos" not in answer.body


@pytest.mark.parametrize("name", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP"])
def test_without_a_password_what_a_proxy_passes_on_is_shown_nothing(served: Office, name: str) -> None:
    for path in ("/", "/main", "/healthz", "/metrics", "/api/status"):
        answer = served.ask(path, {name: "for=127.0.0.1"})
        assert (answer.status, b"photos" in answer.body) == (403, False)


@pytest.mark.parametrize("host", ["127.0.0.1:1234", "localhost", "[::1]:8686"])
def test_this_machine_s_own_names_are_let_in(served: Office, host: str) -> None:
    assert served.ask("/", {"Host": host}).status == 200


def test_with_a_password_nothing_is_shown_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchfolder.web.security._FIRST_WAIT_SECONDS", 0.0)
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n", encoding="ascii")
    secret.chmod(0o600)
    with serve(tmp_path) as office:
        office.page.follow(office.config(password_file=str(secret)))
        office.page.see(WELL)
        for given in (None, basic(""), basic("wrong"), basic(PASSWORD + "x"), "Basic ü", "Bearer " + PASSWORD):
            for path in ("/", "/main", "/metrics", "/api/status", "/thumbnails/0", "/nowhere"):
                answer = office.ask(path, {"Authorization": given.encode("latin-1").decode("latin-1")} if given else {})
                assert answer.status == 401
                assert b"photos" not in answer.body
        assert office.ask("/", {"Authorization": basic(PASSWORD), "Host": "nas.example"}).status == 200
        assert PASSWORD not in office.ask("/", {"Authorization": basic(PASSWORD)}).text


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


def test_every_answer_tells_the_browser_what_to_refuse(served: Office) -> None:
    for path in ("/", "/main", "/healthz", "/metrics", "/api/status", "/nowhere"):
        headers = served.ask(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]


def test_scripts_need_the_nonce_of_this_answer(served: Office) -> None:
    first, second = served.ask("/"), served.ask("/")
    nonces = set(re.findall(r'nonce="([^"]+)"', first.text))
    assert len(nonces) == 1
    assert f"script-src 'nonce-{nonces.pop()}'" in first.headers["Content-Security-Policy"]
    assert first.headers["Content-Security-Policy"] != second.headers["Content-Security-Policy"]
    assert re.findall(r"<[^>]*\s(?:on\w+|style)=", first.text) == []
    assert re.findall(r"(?:src|href|action)=\"(?!/)", first.text) == []


# What it tells


def test_before_the_first_look_it_says_that_nothing_is_known_yet(tmp_path: Path) -> None:
    with serve(tmp_path) as office:
        office.page.follow(office.config())
        assert "Starting" in office.ask("/").text
        assert [office.ask(path).status for path in ("/metrics", "/api/status", "/healthz")] == [503, 503, 503]
        office.page.see(WELL)
        wait_until(lambda: {office.ask(path).status for path in ("/metrics", "/api/status", "/healthz")} == {200})


def test_what_cannot_be_read_now_is_shown_as_it_was(served: Office, caplog: pytest.LogCaptureFixture) -> None:
    served.set_aside("a.jpg")
    served.deliver("b.jpg", b"a result")
    assert "b.jpg" in served.ask("/").text
    (served.root / "state/history").rename(served.root / "elsewhere")
    (served.root / "state/history").touch()  # in place of the folder
    wait_until(lambda: served.ask("/").text and "page.no_look" in [record.msg for record in caplog.records])
    assert all(name in served.ask("/").text for name in ("a.jpg", "b.jpg"))


def test_a_file_s_name_is_text_whatever_it_is(served: Office) -> None:
    served.set_aside("<img src=x onerror=alert(1)>\n\u202e\"'&.jpg")
    text = served.ask("/").text
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;\\n\\u202e&#34;&#39;&amp;.jpg" in text


def test_status_has_the_keys_of_the_command(served: Office) -> None:
    told = json.loads(served.ask("/api/status").body)
    assert told["inboxes"]["photos"]["waiting"] == 2
    assert set(told) == set(states.StatusReport.__dataclass_fields__)


def test_no_address_tells_the_key(served: Office) -> None:
    for path in ("/", "/healthz", "/metrics", "/api/status"):
        assert KEY not in served.ask(path).text


def test_metrics_have_their_zero_values_from_the_start(served: Office) -> None:
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(served.ask("/metrics").text)
        for sample in family.samples
    }
    assert samples["watchfolder_requests_total", "create", "done"] == 0
    assert samples["watchfolder_requests_total", "upload", "blocked"] == 0
    assert samples["watchfolder_sent_bytes_total",] == 0
    assert samples["watchfolder_state_seconds_count", "confirmed"] == 0
    assert samples["watchfolder_blocked", "none"] == 0
    assert samples["watchfolder_inbox_files", "photos", "waiting"] == 2


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (seen(blocked="the key is refused"), "Blocked: the key is refused"),
        (seen(is_stuck=True), "Stuck: work stands still"),
        (seen(is_down=True), "The service does not answer"),
        (seen(inboxes={"photos": InboxSnapshot(fault="is the share mounted?")}), "photos (is the share mounted?)"),
    ],
)
def test_a_monitor_is_told_why_a_person_should_come(served: Office, snapshot: Snapshot, reason: str) -> None:
    assert (served.ask("/healthz").status, served.ask("/healthz").text) == (200, "ok\n")
    served.page.see(snapshot)
    answer = served.ask("/healthz")
    assert answer.status == 503
    assert reason in answer.text


def test_a_monitor_without_the_password_is_told_the_topic_alone(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n", encoding="ascii")
    secret.chmod(0o600)
    away = {"photos": InboxSnapshot(fault="/srv/holidays: is the share mounted?")}
    with serve(tmp_path) as office:
        office.page.follow(office.config(password_file=str(secret)))
        office.page.see(WELL)
        assert (office.ask("/healthz").status, office.ask("/healthz").text) == (200, "ok\n")
        office.page.see(seen(blocked="the key is refused", is_key_refused=True, inboxes=away))
        assert (office.ask("/healthz").status, office.ask("/healthz").text) == (503, "key_refused\nfolder_away\n")
        known = office.ask("/healthz", {"Authorization": basic(PASSWORD)})
        assert "the key is refused" in known.text
        assert "/srv/holidays" in known.text


def test_a_main_loop_that_stands_still_is_told_to_the_monitor(served: Office) -> None:
    assert served.page._cache is not None
    served.page._cache.see(WELL, time.monotonic() - 3600)
    assert (served.ask("/healthz").status, served.ask("/healthz").text.split(":")[0]) == (503, "Stuck")


# The button


def test_the_button_moves_the_file_back_into_its_inbox(served: Office) -> None:
    served.set_aside("a.jpg")
    assert served.press("a.jpg").status == 303
    assert (served.root / "inbox/a.jpg").read_bytes() == b"a picture"
    assert not (served.root / "quarantine/a.jpg").exists()
    assert "a.jpg is back in its inbox" in served.ask("/").text


def test_files_of_one_reason_are_one_entry_and_go_back_together(served: Office) -> None:
    for number in range(12):
        served.set_aside(f"{number}.jpg")
    assert "and 11 more" in served.ask("/").text
    assert served.press("and 11 more").status == 303
    assert len(list((served.root / "inbox").glob("*.jpg"))) == 12
    assert "12 files are back in their inbox" in served.ask("/").text


def test_what_a_retry_cannot_help_has_no_button(served: Office) -> None:
    mark = json.dumps({"order": "x", "file": "a.psd", "retry_helps": False})
    served.set_aside("a.psd.why.txt").write_text(f"What happened: no.\nwatchfolder: {mark}\n", encoding="utf-8")
    served.set_aside("a.psd")
    page = served.ask("/").text
    assert "a.psd" in page
    assert "ry again</button>" not in page


@pytest.mark.parametrize(
    ("headers", "changed"),
    [
        ({}, {"token": ""}),
        ({}, {"token": "0" * 32}),
        ({"Origin": "http://evil.example"}, {}),
        ({"Origin": "null"}, {}),
    ],
)
def test_a_button_of_another_page_moves_nothing(
    served: Office, headers: Mapping[str, str], changed: Mapping[str, str]
) -> None:
    path = served.set_aside("a.jpg")
    assert served.press("a.jpg", headers, **changed).status == 403
    assert path.exists()


@pytest.mark.parametrize("id_", ["a.jpg", "../inbox/a.jpg", "0" * 32])
def test_a_name_is_no_id(served: Office, id_: str) -> None:
    path = served.set_aside("a.jpg")
    assert served.press("a.jpg", id=id_).status == 303
    assert path.exists()


def test_who_presses_again_while_a_file_is_on_its_way_is_told_so(
    served: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchfolder.web.actions._BUSY_SECONDS", 0.1)
    has_begun, answers, move_back = threading.Event(), threading.Event(), retry.move_back

    def wait_for_the_share(*asked: Any) -> Any:  # noqa: ANN401 - as `move_back` has them
        has_begun.set()
        assert answers.wait(30)
        return move_back(*asked)

    monkeypatch.setattr(retry, "move_back", wait_for_the_share)
    served.set_aside("a.jpg")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(served.press, "a.jpg")
        assert has_begun.wait(30)
        try:
            assert served.press("a.jpg").status == 503
        finally:
            answers.set()
        assert first.result(30).status == 303
    assert (served.root / "inbox/a.jpg").exists()


def test_what_lies_in_a_folder_that_went_away_is_not_called_gone(served: Office) -> None:
    served.set_aside("a.jpg")
    form = dict(re.findall(r'name="(\w+)" value="(\w+)"', served.ask("/").text.split("<li ")[1]))
    (served.root / "quarantine").rename(served.root / "elsewhere")
    assert served.ask("/retry", form=form).status == 303
    page = served.ask("/").text
    assert f"Not moved: {served.root / 'quarantine'}: the folder is not there" in page
    assert "no longer in quarantine" not in page


def test_a_large_request_is_refused(served: Office) -> None:
    assert served.ask("/retry", form={"token": "x" * 20_000}).status == 413


def test_what_the_brake_holds_is_let_through_by_its_button(served: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[object] = []
    monkeypatch.setattr("os.kill", lambda *asked: woken.append(asked))
    assert "Let them through" not in served.ask("/").text
    held = InboxSnapshot(is_open=True, held="held: 812 new files in 2 minutes")
    served.page.see(seen(inboxes={"photos": held}))
    wait_until(lambda: "held: 812 new files" in served.ask("/main").text)
    form = dict(re.findall(r'name="(\w+)" value="(\w+)"', served.ask("/").text))
    assert served.ask("/release", form=form | {"token": "0" * 32}).status == 403
    assert woken == []
    assert served.ask("/release", form=form).status == 303
    assert woken == [(os.getpid(), signal.SIGUSR1)]
    assert "photos: what was held is let through" in served.ask("/").text


def test_what_cannot_be_let_through_is_told_with_its_reason(
    served: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("os.kill", lambda *_: pytest.fail("nobody is to look"))
    served.page.see(seen(inboxes={"photos": InboxSnapshot(is_open=True, held="held: 812 new files in 2 minutes")}))
    wait_until(lambda: "held: 812 new files" in served.ask("/main").text)
    form = dict(re.findall(r'name="(\w+)" value="(\w+)"', served.ask("/").text))
    (served.root / "state/release").touch()  # in place of the folder
    assert served.ask("/release", form=form).status == 303
    reason = f"{served.root}/state/release: a file or a link is in the way of a folder"
    assert f"Not done: {reason}" in served.ask("/").text
    assert "page.broke" not in [record.msg for record in caplog.records]


@pytest.mark.parametrize(
    ("change", "tone"),
    [
        ({}, "good"),
        ({"inboxes": {"photos": InboxSnapshot(is_open=True, held="812 new files in 2 minutes")}}, "wait"),
        ({"blocked": "the service refuses the API key", "blocked_code": "AUTH"}, "bad"),
    ],
)
def test_the_top_of_the_page_looks_like_what_it_says(served: Office, change: dict[str, object], tone: str) -> None:
    served.page.see(seen(**change))
    wait_until(lambda: f'<header class="{tone}">' in served.ask("/main").text)
    assert ("<title>watchfolder: needs you</title>" in served.ask("/").text) == (tone != "good")


def test_a_refused_configuration_is_told_below_what_is_worse(served: Office) -> None:
    served.page.see(seen(refused="transfers: must be a whole number"))
    wait_until(lambda: "<h1>The configuration is wrong" in served.ask("/main").text)
    assert served.ask("/main").text.count("transfers: must be a whole number") == 1
    served.page.see(seen(refused="transfers: must be a whole number", blocked="the service refuses the API key"))
    wait_until(lambda: "<h1>Blocked: " in served.ask("/main").text)
    assert served.ask("/main").text.count("transfers: must be a whole number") == 1


def test_a_file_in_quarantine_needs_a_person_and_is_called_by_its_own_name(served: Office) -> None:
    (served.root / "quarantine/below").mkdir()
    served.set_aside("below/a.jpg")
    wait_until(lambda: '<header class="wait">' in served.ask("/main").text)
    shown = served.ask("/main").text
    assert '<bdi class="file">a.jpg</bdi>' in shown
    assert f"<bdi>{served.root / 'quarantine/below'}</bdi>" in shown


def test_a_name_in_a_reason_is_escaped_wherever_the_page_shows_it(served: Office) -> None:
    journal = Journal(str(served.root / "state"))
    order = journal.advance(journal.enter(made_order(state=State.CLAIMED)), State.CREATED)
    journal.put_off(order, 3600, last_error="/srv/\u202egpj.a: permission denied")
    fault = "/srv/caf\udce9: the disk reports errors"
    served.page.see(seen(inboxes={"photos": InboxSnapshot(fault=fault, fault_code="EIO")}))
    page = served.ask("/").text
    assert page.count(r"/srv/caf\xe9: the disk reports errors") == 2
    assert page.count(r"/srv/\u202egpj.a: permission denied") == 2
    assert "\u202e" not in page


def test_what_waits_now_is_drawn_though_no_sample_was_due(served: Office) -> None:
    served.page.see(seen(inboxes={"photos": InboxSnapshot(is_open=True, waiting=77)}))
    wait_until(lambda: ">77 files</p>" in served.ask("/main").text)


# Before and after


def test_deliveries_are_shown_before_and_after_in_small(served: Office) -> None:
    before, after = sample("jpeg", width=900, height=600, seed=1), sample("png", width=900, height=600, seed=2)
    served.deliver("a.jpg", after, before)
    shown = served.thumbnails()
    assert len(shown) == 2
    for path in shown:
        answer = served.ask(path)
        with Image.open(io.BytesIO(answer.body)) as small:
            assert (small.format, small.size) == ("JPEG", (320, 213))


def test_a_copy_is_shown_with_whose_it_is(served: Office) -> None:
    served.deliver("a.jpg", sample("jpeg", width=90, height=60, seed=1), recipient="Ärzte & <b>")
    assert '<p class="small">for <bdi>Ärzte &amp; &lt;b&gt;</bdi></p>' in served.ask("/").text


def test_what_is_no_longer_what_was_delivered_is_not_shown(served: Office) -> None:
    picture, other = sample("bmp", width=90, height=60, seed=1), sample("bmp", width=90, height=60, seed=2)
    served.deliver("a.bmp", picture)
    assert len(picture) == len(other)
    (served.root / "outbox/a.bmp").write_bytes(other)
    for path in served.thumbnails():
        answer = served.ask(path)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "image/svg+xml; charset=utf-8")
        assert "no preview" in answer.text


def test_a_link_to_elsewhere_is_not_followed(served: Office) -> None:
    picture = sample("jpeg", width=90, height=60, seed=1)
    served.deliver("a.jpg", picture)
    (served.root / "outbox/a.jpg").rename(served.root / "elsewhere.jpg")
    (served.root / "outbox/a.jpg").symlink_to(served.root / "elsewhere.jpg")
    assert served.ask(served.thumbnails()[1]).status == 404


def test_a_link_in_the_place_of_an_original_does_not_hide_the_one_beside_it(served: Office) -> None:
    before = sample("webp", width=8, height=8, seed=1)
    served.deliver("a.webp", sample("webp", width=9, height=9, seed=2), before)
    (served.root / "originals/a.webp").rename(served.root / "originals/a (2).webp")
    (served.root / "originals/a.webp").symlink_to("/" * len(before))  # a link is as long as its text
    assert served.ask(served.thumbnails()[0]).status == 200


def test_what_is_not_on_the_page_has_no_small_picture(served: Office) -> None:
    assert served.ask("/thumbnails/" + "0" * 32).status == 404


def test_a_picture_that_would_unpack_to_gigabytes_is_not_unpacked(served: Office) -> None:
    made = io.BytesIO()
    Image.new("1", (16_000, 16_000)).save(made, "PNG")
    served.deliver("bomb.png", made.getvalue())
    assert served.ask(served.thumbnails()[1]).status == 404
    assert served.ask("/healthz").status == 200


def test_a_small_picture_that_a_busy_machine_had_no_time_for_comes_later(
    served: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.deliver("a.png", sample("png", width=40, height=30, seed=1))
    _, path = served.thumbnails()
    with monkeypatch.context() as busy:
        busy.setattr("watchfolder.web.thumbnails._SECONDS", 0.0)
        assert served.ask(path).status == 404
    assert served.ask(path).status == 200


def test_small_pictures_are_kept_within_bounds(served: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchfolder.web.thumbnails._MOST_KEPT", 1)
    served.deliver("a.png", sample("png", width=40, height=30, seed=1), sample("png", width=40, height=30, seed=2))
    assert [served.ask(path).status for path in served.thumbnails()] == [200, 200]
    assert served.page._cache is not None
    assert len(served.page._cache.thumbnails._kept) == 1


# While the daemon lives


def test_a_reload_moves_the_page_and_takes_it_away(served: Office) -> None:
    before, after = served.port, free_port()
    served.page.follow(served.config(after))
    served.port = after
    assert served.ask("/").status == 200
    assert is_refused(before)
    served.page.follow(served.config(listen=None))
    assert is_refused(after)


def test_an_answer_that_outlasts_the_page_is_written_into_no_other_file(
    served: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchfolder.web.server._STOP_SECONDS", 0.1)
    answers, hung = threading.Event(), list[threading.Thread]()

    def hang() -> None:
        hung.append(threading.current_thread())
        assert answers.wait(30)

    monkeypatch.setattr(served.page._cache, "look", hang)
    with ThreadPoolExecutor() as pool, ExitStack() as stack:
        asked = pool.submit(served.ask, "/main")
        wait_until(lambda: hung)
        served.page.close()
        with pytest.raises(http.client.HTTPException):
            asked.result(30)
        others = [served.root / f"{number}.txt" for number in range(20)]  # with the descriptors that are free now
        for path in others:
            stack.enter_context(path.open("w"))
        answers.set()
        hung[0].join(30)
        assert {path.read_bytes() for path in others} == {b""}


def test_an_address_that_is_taken_is_tried_again_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("watchfolder.web.page.AGAIN_SECONDS", 0.0)
    with serve(tmp_path) as office:
        with socket.create_server(("127.0.0.1", office.port)):
            office.page.follow(office.config())
            office.page.see(WELL)
        office.page.see(WELL)
        office.page.see(WELL)
        assert office.ask("/").status == 200
    assert [record.msg for record in caplog.records].count("page.not_served") == 1


def test_the_page_of_what_is_missing_waits_for_its_address_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchfolder.web.page.AGAIN_SECONDS", 0.0)
    port = free_port()
    http = config.HttpSection(listen=f"127.0.0.1:{port}")
    with closing(WaitingPage()) as page:
        with socket.create_server(("127.0.0.1", port)):
            page.show(["a fault"], http)
        page.show(["a fault"], http)
        page.show(["a fault"], http)
        assert "a fault" in requests.get(f"http://127.0.0.1:{port}/", timeout=30).text


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False
