"""A download from local servers: whole and intact, or not at all."""

import hashlib
import re
import socket
import time
from threading import Event, Thread

import pytest

from liprune_utils import sources

CONTENT = bytes(range(256)) * 1000  # a few blocks
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def serve():
    # a server that answers with these bytes, then closes or falls silent
    sockets = []

    def start(response, close):
        server = socket.create_server(("127.0.0.1", 0))
        sockets.append(server)
        Thread(target=answer, args=(server, response, close, sockets), daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/archive.tar.gz"

    yield start
    for each in sockets:
        each.close()


def answer(server, response, close, sockets):
    connection, _ = server.accept()
    sockets.append(connection)
    connection.recv(1 << 16)
    connection.sendall(response)
    if close:
        connection.close()


def http(content):
    return b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content


def test_intact_archive_is_written_alone(tmp_path, serve):
    url = serve(http(CONTENT), close=True)
    assert sources.download(url, tmp_path / "data" / "archive.tar.gz", MD5)
    assert (tmp_path / "data" / "archive.tar.gz").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["archive.tar.gz"]


@pytest.mark.parametrize(
    ("response", "close", "reason"),
    [
        (b"", False, "the network was silent for 0.3 seconds"),
        (http(CONTENT)[:200_000], False, "the network was silent for 0.3 seconds"),
        (http(CONTENT)[:200_000], True, "bytes came, with the MD5 sum"),
        (http(b"<html>log in first</html>"), True, f"25 bytes came, .* not {MD5}"),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", True, "HTTP Error 404"),
        (b"", True, ""),
        (b"nonsense\r\n\r\n", True, "nonsense"),
    ],
)
def test_failed_download_says_why_and_leaves_nothing(
    tmp_path, serve, monkeypatch, caplog, response, close, reason
):
    monkeypatch.setattr(sources, "SILENCE_S", 0.3)
    url = serve(response, close)
    start = time.monotonic()
    assert not sources.download(url, tmp_path / "data" / "archive.tar.gz", MD5)
    assert time.monotonic() - start < 3
    assert re.search(f"CIFAR-10 could not be downloaded: .*{reason}", caplog.text)
    assert list(tmp_path.iterdir()) == []


def test_path_that_cannot_be_written_is_no_failure_of_the_network(tmp_path, serve):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(FileExistsError):
        sources.download(serve(http(CONTENT), True), tmp_path / "data" / "archive.tar.gz", MD5)


def test_name_resolution_that_never_ends_is_noticed(tmp_path, monkeypatch, caplog):
    released = Event()
    monkeypatch.setattr(sources, "SILENCE_S", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(60) and [])
    assert not sources.download("http://archive.invalid", tmp_path / "archive.tar.gz", MD5)
    assert "the network was silent for 0.1 seconds" in caplog.text
    released.set()


def test_silence_is_noticed_within_twenty_seconds():
    assert 0 < sources.SILENCE_S < 20
