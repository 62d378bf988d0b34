"""The download of CIFAR-10, from local servers: whole and intact, or not at all."""

import hashlib
import re
import socket
import time
from threading import Thread

import pooch
import pytest

from liprune_utils import data

CONTENT = bytes(range(256)) * 1000  # a few blocks
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def serve():
    """A local server that answers once with these bytes, then closes or falls silent."""
    sockets = []

    def answer(server, response, close):
        connection, _ = server.accept()
        sockets.append(connection)
        connection.recv(1 << 16)
        connection.sendall(response)
        if close:
            connection.close()

    def start(response, close=True):
        server = socket.create_server(("127.0.0.1", 0))
        sockets.append(server)
        Thread(target=answer, args=(server, response, close), daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/archive.tar.gz"

    yield start
    for each in sockets:
        each.close()


def http(content):
    return b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content


@pytest.mark.parametrize("damaged", [False, True])
def test_intact_archive_is_written_alone(tmp_path, serve, damaged):
    path = tmp_path / "data" / "archive.tar.gz"
    if damaged:
        path.parent.mkdir()
        path.write_bytes(b"damaged")
    assert data._download(serve(http(CONTENT)), path, MD5)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("response", "close", "reason"),
    [
        (b"", False, "timed? ?out"),
        (http(CONTENT)[:200_000], False, "timed? ?out"),
        (http(CONTENT)[:200_000], True, "IncompleteRead"),
        (http(b"<html>log in first</html>"), True, "does not match the known hash"),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", True, "404 Client Error"),
        (b"", True, ""),
        (b"nonsense\r\n\r\n", True, "nonsense"),
    ],
)
def test_failed_download_says_why_and_leaves_nothing(
    tmp_path, serve, monkeypatch, caplog, response, close, reason
):
    monkeypatch.setattr(data, "SILENCE_S", 0.3)
    start, path = time.monotonic(), tmp_path / "data" / "archive.tar.gz"
    assert not data._download(serve(response, close), path, MD5)
    assert time.monotonic() - start < 30  # on a busy machine, too
    assert re.search(f"CIFAR-10 could not be downloaded: .*{reason}", caplog.text)
    assert list(path.parent.iterdir()) == []


def test_interrupted_download_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(_, url, output_file, pooch):
        with open(output_file, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        data._download("http://127.0.0.1:1/archive.tar.gz", tmp_path / "archive.tar.gz", MD5)
    assert list(tmp_path.iterdir()) == []


def test_silence_is_noticed_within_twenty_seconds():
    assert 0 < data.SILENCE_S < 20
