"""Who sends the requests? Processes of their own, over connections that stay open, whose CPU time nobody counts."""

import socket
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

_SPAWN = get_context("spawn")
Request = bytes


@dataclass(frozen=True)
class Sent:
    """What became of some requests: seconds of each, seconds of all, the status and the size of the last answer."""

    latencies: list[float]
    took: float
    statuses: set[int]
    size: int


def request(
    method: str, path: str, token: str = "", body: bytes = b"", media: str = "application/scim+json"
) -> Request:
    """Return the bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {media}\r\n"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    if body:
        head += f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class Clients:
    """Some client processes, which send what they are given at once."""

    def __init__(self, count: int = 4) -> None:
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = _SPAWN.Pipe()
            process = _SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)

    def send(self, port: int, requests: Sequence[Request], expected: int | None = 200) -> Sent:
        """Let each client send its share, one after the other; every answer must have the expected status, if any."""
        count = min(len(self._pipes), len(requests))
        since = time.perf_counter()
        for number in range(count):
            self._pipes[number].send((port, requests[number::count]))
        parts: list[Sent] = [self._pipes[number].recv() for number in range(count)]
        took = time.perf_counter() - since
        statuses = set().union(*(part.statuses for part in parts))
        assert expected is None or statuses == {expected}, statuses
        return Sent([one for part in parts for one in part.latencies], took, statuses, parts[0].size)


def _serve(pipe: Connection) -> None:
    """Send what comes through a pipe until it is closed."""
    connections: dict[int, socket.socket] = {}
    while True:
        try:
            port, requests = pipe.recv()
        except EOFError:
            break
        if port not in connections:
            connections[port] = socket.create_connection(("127.0.0.1", port), timeout=300)
            connections[port].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pipe.send(_send_all(connections, port, requests))
    for connection in connections.values():
        connection.close()


def _send_all(connections: dict[int, socket.socket], port: int, requests: Sequence[Request]) -> Sent:
    latencies, statuses, size = [], set(), 0
    begun = time.perf_counter()
    for each in requests:
        since = time.perf_counter()
        status, size, stays = _exchange(connections[port], each)
        latencies.append(time.perf_counter() - since)
        statuses.add(status)
        if not stays:
            connections[port].close()
            connections[port] = socket.create_connection(("127.0.0.1", port), timeout=300)
    return Sent(latencies, time.perf_counter() - begun, statuses, size)


def _exchange(connection: socket.socket, sent: Request) -> tuple[int, int, bool]:
    """Send a request and return the status and the size of its answer, and whether the connection stays open."""
    connection.sendall(sent)
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    status, lines = int(head[9:12]), head.lower().split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in lines[1:])
    stays = fields.get(b"connection") != b"close"
    size = len(body)
    if fields.get(b"transfer-encoding") == b"chunked":
        while not body.endswith(b"0\r\n\r\n"):
            more = _more(connection)
            body, size = body[-8:] + more, size + len(more)
        return status, size, stays
    length = int(fields.get(b"content-length", b"0"))
    while size < length:
        size += len(_more(connection))
    return status, size, stays


def _more(connection: socket.socket) -> bytes:
    received = connection.recv(262_144)
    if not received:
        raise ConnectionError("the server closed the connection")
    return received


def answer(port: int, sent: Request) -> bytes:
    """Send one request and return the whole body of its answer."""
    # Of HTTP/1.0 no answer comes in chunks, and the connection ends with it.
    with closing(socket.create_connection(("127.0.0.1", port), timeout=300)) as connection:
        connection.sendall(sent.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1))
        received = b""
        while more := connection.recv(262_144):
            received += more
    return received.partition(b"\r\n\r\n")[2]
