"""The systems that are compared: how each one's server is started, and who its clients are."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import attrs
from attrs import frozen

from .builds import Build
from .programs import Program, Skipped, free_port, python, wait_for
from .rust_programs import rust_programs
from .work import Work

NOTHING = Work(count=0, size=0)

_NATS = "max_pending: 1GB\nwrite_deadline: 60s\n"
_MOSQUITTO = """
listener 0 {path}
allow_anonymous true
persistence false
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 0
set_tcp_nodelay true
log_type error
"""


@frozen
class Server:
    """A server that runs: where clients find it, and its process."""

    address: str
    program: Program
    far: str = ""
    """Where subscribers and services are, if not there."""
    others: Sequence[Program] = ()
    """The processes of its other servers."""

    @property
    def programs(self) -> Sequence[Program]:
        """All that it consists of."""
        return [self.program, *self.others]

    def place_of(self, role: str) -> str:
        """Return the address for a role."""
        return self.far if self.far and role in {"subscribe", "answer"} else self.address


@frozen
class Peer:
    """One system under measurement."""

    name: str
    serve: Callable[[Path, Build], AbstractContextManager[Server]]
    """Runs a server that keeps its files in a folder, with the interpreter and the t2bus of a build."""
    clients: str
    """The module ``with_*`` of its clients, or ``rust``."""
    flight: int = 1 << 30
    """The publications in flight that it bears."""
    messages: int = 1 << 30
    volume: int = 1 << 50
    """Messages and bytes of a burst, at most: a slow system has fewer of them, for the same time."""
    executable: str = ""
    module: str = ""
    ours: bool = False
    """Whether the server is t2bus."""

    def suit(self, work: Work) -> Work:
        """Return the work as this system can do it; connections share it evenly."""
        count = min(work.count, self.messages, self.volume // work.size) // work.connections * work.connections
        return attrs.evolve(work, count=count, flight=min(work.flight, self.flight))

    def require(self) -> None:
        """Raise Skipped if something that it needs is not on this machine."""
        if self.executable and shutil.which(self.executable, path=_path()) is None:
            raise Skipped(f"{self.executable} is not installed")
        if self.module and find_spec(self.module) is None:
            raise Skipped(f"the Python package {self.module} is not installed")

    def start(self, build: Build, role: str, address: str, work: Work) -> Program:
        """Start one of its clients, or its server's own process."""
        if self.clients == "rust":
            return Program(rust_programs()[1], role, address, work.to_json())
        if work.batch and self.clients == "t2bus":
            build.require_batches()
        return python(build, "role", self.clients, role, address, work.to_json())

    @contextmanager
    def open(self, build: Build) -> Generator[Server, None, None]:
        """Run a server of its own for one measurement."""
        self.require()
        with tempfile.TemporaryDirectory(prefix="t2bus-bench-") as folder, self.serve(Path(folder), build) as server:
            yield server


def executable(name: str) -> str | None:
    """Return where a program of other systems is."""
    return shutil.which(name, path=_path())


def _path() -> str:
    # Debian puts servers where the PATH of most users does not lead.
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


# --- servers


@contextmanager
def _own(build: Build, system: str, address: str, work: Work = NOTHING) -> Generator[Server, None, None]:
    with python(build, "role", system, "serve", address, work.to_json()) as program:
        yield Server(program.wait_until_ready(), program)


@contextmanager
def _external(command: list[object], place: Path | int, address: str) -> Generator[Server, None, None]:
    with Program(shutil.which(str(command[0]), path=_path()), *command[1:]) as program:
        wait_for(place)
        yield Server(address, program)


def _t2bus_unix(folder: Path, build: Build, work: Work = NOTHING) -> AbstractContextManager[Server]:
    return _own(build, "t2bus", f"unix:{folder / 'bus'}", work)


def _t2bus_tcp(_folder: Path, build: Build) -> AbstractContextManager[Server]:
    return _own(build, "t2bus", "tcp:127.0.0.1:0")


@contextmanager
def _t2bus_tls(folder: Path, build: Build) -> Generator[Server, None, None]:
    """Serve over mutual TLS; the address ends with the folder of the certificates."""
    if find_spec("cryptography") is None:
        raise Skipped("the Python package cryptography is not installed")
    from t2bus.certs import issue_client, make_ca  # noqa: PLC0415 -- needs cryptography

    certificates = folder / "certs"
    make_ca(certificates, days=2)
    issue_client(certificates, "client", days=2)
    with _own(build, "t2bus", f"tls:127.0.0.1:0#{certificates}") as server:
        yield attrs.evolve(server, address=f"{server.address}#{certificates}")


def _bare(folder: Path, build: Build) -> AbstractContextManager[Server]:
    return _own(build, "bare", str(folder / "bare"))


def _zmq(folder: Path, build: Build) -> AbstractContextManager[Server]:
    return _own(build, "zmq", str(folder / "zmq"))


def _nats(folder: Path, _build: Build) -> AbstractContextManager[Server]:
    settings, port = folder / "nats.conf", free_port()
    settings.write_text(_NATS)
    command: list[object] = ["nats-server", "-a", "127.0.0.1", "-p", port, "-c", settings]
    return _external(command, port, f"nats://127.0.0.1:{port}")


def _redis(folder: Path, _build: Build) -> AbstractContextManager[Server]:
    path = folder / "redis"
    settings = ["--port", 0, "--unixsocket", path, "--dir", folder, "--save", "", "--appendonly", "no"]
    unbounded = ["--client-output-buffer-limit", "pubsub 0 0 0"]
    return _external(["redis-server", *settings, *unbounded], path, str(path))


def _mosquitto(folder: Path, _build: Build) -> AbstractContextManager[Server]:
    path, settings = folder / "mqtt", folder / "mosquitto.conf"
    settings.write_text(_MOSQUITTO.format(path=path))
    # Started by root, it takes another user's rights; the socket has to be in a folder of that user.
    folder.chmod(0o777)
    return _external(["mosquitto", "-c", settings], path, str(path))


def _rust_bus(folder: Path, _build: Build) -> AbstractContextManager[Server]:
    path = folder / "rust"
    return _external([rust_programs()[0], "serve", f"unix:{path}"], path, f"unix:{path}")


T2BUS = Peer("t2bus", _t2bus_unix, "t2bus", ours=True)
T2BUS_TCP = Peer("t2bus, TCP", _t2bus_tcp, "t2bus", ours=True)
T2BUS_TLS = Peer("t2bus, mutual TLS", _t2bus_tls, "t2bus", ours=True)
BARE = Peer("bare Trio", _bare, "bare")
NATS = Peer("nats", _nats, "nats", executable="nats-server", module="nats")
REDIS = Peer("redis", _redis, "redis", executable="redis-server", module="redis", volume=30_000_000)
ZMQ = Peer("pyzmq", _zmq, "zmq", module="zmq")
MOSQUITTO = Peer("mosquitto", _mosquitto, "mqtt", executable="mosquitto", module="aiomqtt", messages=300)
# It writes payloads as arrays of numbers, and compresses them.
_RUST_VOLUME = 3_000_000
# With 1,024 in flight the crate's server and its client both stop reading while they write, and time out.
RUST = Peer("rust", _rust_bus, "rust", flight=256, volume=_RUST_VOLUME)
RUST_ON_T2BUS = Peer("rust on t2bus", _t2bus_unix, "rust", flight=256, volume=_RUST_VOLUME, ours=True)


def crowded(connections: int) -> Peer:
    """Return t2bus for that many connections."""
    work = attrs.evolve(NOTHING, connections=connections)
    return attrs.evolve(T2BUS, serve=partial(_t2bus_unix, work=work))
