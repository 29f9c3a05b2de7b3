"""A cassette records the exchanges with a real server without secrets, and replays them without it."""

from __future__ import annotations

import json
import socket
import struct
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from vcr.request import Request
from workers import wait_for

from jobcell.testing.cassette import HIDDEN, Cassettes, Tape

pytestmark = pytest.mark.slow


class Server(BaseHTTPRequestHandler):
    """Answers with what it was asked, a token, and the number of the request."""

    count = 0
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        Server.count += 1
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        answer = {"n": Server.count, "path": self.path, "body": body, "access_token": "tok-4711"}
        content = json.dumps(answer).encode()
        self.send_response(201)
        self.send_header("Set-Cookie", "session=crumb-99")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{made.server_address[1]}"
    made.shutdown()
    made.server_close()
    thread.join()


def post(url, path, body, headers=()):
    asked = urllib.request.Request(url + path, body.encode(), dict(headers), method="POST")
    try:
        with urllib.request.urlopen(asked, timeout=20) as response:
            return response.status, json.loads(response.read()), response.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def play(test, mode, server, *, secrets=()):
    """Make one request through the cassette of a test."""
    net = []
    with Cassettes(test, "test_it[a/b]", mode, net) as cassettes:
        cassette = cassettes(server, secrets=secrets)
        assert net == [cassette.permission]
        answer = post(
            cassette.url,
            "/people?api_key=k-123&q=1",
            '{"password": "pw-77", "name": "hush-5"}',
            {"Authorization": "Bearer abc-1", "Content-Type": "application/json"},
        )
        return answer, cassette


def test_what_was_recorded_is_replayed_without_the_server(tmp_path, server):
    """The second answer is the first one, and the server has seen one request."""
    before = Server.count
    first, cassette = play(tmp_path / "test_x.py", "once", server)
    assert cassette.path == tmp_path / "cassettes" / "test_x" / "test_it_a_b.yaml"
    second, _ = play(tmp_path / "test_x.py", "none", server)
    assert first[0] == second[0] == 201
    assert second[1]["n"] == first[1]["n"] == before + 1 == Server.count
    play(tmp_path / "test_x.py", "all", server)
    assert Server.count == before + 2


def test_a_cassette_holds_no_secret(tmp_path, server):
    """Headers, parameters, fields and named values are hidden; while recording, the job gets the true answer."""
    answer, cassette = play(tmp_path / "test_x.py", "once", server, secrets=["hush-5"])
    assert answer[1]["access_token"] == "tok-4711"
    text = cassette.path.read_text()
    for secret in ("abc-1", "k-123", "pw-77", "tok-4711", "crumb-99", "hush-5"):
        assert secret not in text
    assert text.count(HIDDEN) >= 6


def test_a_client_that_goes_away_prints_nothing(tmp_path, capfd):
    """The test says how its run ended; a traceback of the server would hide that."""
    with Cassettes(tmp_path / "test_x.py", "it", "none", []) as cassettes:
        port = int(cassettes("https://x.example").url.rpartition(":")[2])
        ended = threading.active_count()
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HT")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wait_for(lambda: threading.active_count() > ended)
        wait_for(lambda: threading.active_count() == ended)
    assert capfd.readouterr().err == ""


def test_a_request_without_an_exchange_fails_the_test(tmp_path, server):
    """The job gets an error status, and the test fails with the way to record."""
    before = Server.count
    with pytest.raises(
        AssertionError, match=r"no exchange for POST /people.*--jobcell-record=once"
    ):
        play(tmp_path / "test_x.py", "none", server)
    assert Server.count == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("interactions: !!python/object/apply:os.mkdir [MADE]", ""),
        ("interactions: [", "while parsing"),
        ("interactions: [{}]", "'request'"),
        ("[1]", ""),
    ],
)
def test_a_file_that_is_not_a_cassette_is_one_error(tmp_path, server, content, reason):
    """A tag makes no object, with any version of the library, and the error says how to record again."""
    made = tmp_path / "made"
    path = tmp_path / "cassettes" / "test_x" / "test_it_a_b.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(content.replace("MADE", str(made)))
    with pytest.raises(ValueError, match=f"b.yaml: is not a cassette: .*{reason}.*record it again"):
        play(tmp_path / "test_x.py", "none", server)
    assert not made.exists()


def test_a_body_of_any_bytes_is_kept(tmp_path):
    """The file holds bytes that are not text as base64."""
    path = tmp_path / "c.yaml"
    asked = Request("POST", "http://x/", b"\xff\x00\x01", {})
    recorded = Tape(path, "once", [])
    answer = {
        "status": {"code": 200, "message": "OK"},
        "headers": {"A": ["b"]},
        "body": {"string": b"\xfe\x00"},
    }
    recorded.record(asked, answer)
    recorded.save()
    assert Tape(path, "none", []).play(asked)["body"]["string"] == b"\xfe\x00"


@pytest.mark.parametrize(
    "origin", ["api.example.org", "ftp://x", "https://", "http://x/?q=1", "http://[", "http://x:y"]
)
def test_an_address_that_is_not_a_server_is_refused(tmp_path, origin):
    """The error quotes the address and shows a right one."""
    with (
        Cassettes(tmp_path / "test_x.py", "t", "none", []) as cassettes,
        pytest.raises(ValueError, match=r"https://api\.example\.org', not"),
    ):
        cassettes(origin)
