"""``t2bus certs``: a private CA and its certificates, so that mutual TLS takes two commands.

::

    $ t2bus certs init
    wrote certs/ca.pem and certs/ca.key, valid until 2036-11-22: the CA
    wrote certs/bus.pem and certs/bus.key, valid until 2027-11-25: the bus at localhost, 127.0.0.1, ::1
    start the bus:
      t2bus serve tls:127.0.0.1:4242 --ca certs/ca.pem --certificate certs/bus.pem --key certs/bus.key
    make the certificate of a client:
      t2bus certs issue alice

What is made, and what is never replaced, is said in :mod:`t2bus.certs`; that package is imported when the verb runs,
for it needs ``cryptography``.

The law of this module: each command prints what it has written and the command that is next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..called import command
from ..text import printable
from . import arguments as types
from .arguments import add_group, add_verb
from .console import Output, say
from .exits import Exit

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from ..certs import Files
    from .arguments import VerbParser, Verbs

_FOLDER: Final = "certs"
_FOLDER_OF_MEMBERS: Final = "members"
"""Another one, for servers need an authority of their own: whoever it certifies can join them."""

_PORT: Final = 4242
_PORT_OF_MEMBERS: Final = 7447
"""In the commands that are printed; nothing is bound to it here."""


def add_certs(verbs: Verbs) -> None:
    """Add ``init`` and ``issue`` to the grammar."""
    more = "Whoever has ca.key can be anybody on the bus: it stays where it is. Needs the extra t2bus[certs]."
    group = add_group(verbs, "certs", "make certificates for mutual TLS", more)
    more = "The CA is valid for ten years; one that exists is never replaced."
    verb = add_verb(group, "init", "make a private CA and the bus's certificate", more, "certs --host bus.example")
    where = f"where to put ca.pem, ca.key, bus.pem and bus.key; by default {_FOLDER}, or {_FOLDER_OF_MEMBERS}"
    verb.add_argument("folder", nargs="?", metavar="FOLDER", help=where)
    member = "make those of the first of several servers that are one bus"
    verb.add_argument("--member", action="store_true", help=member)
    host = "a DNS name or IP address at which the bus is reached, beside localhost; may be given several times"
    _add_host(verb, host)
    _add_days(verb, "the bus's certificate")
    more = "NAME is the identity that access rules speak of: a URI, an e-mail address or else a DNS name."
    verb = add_verb(group, "issue", "make the certificate of a client, or of a further bus", more, "alice")
    verb.add_argument("name", type=types.text, metavar="NAME", help="who the certificate is for")
    where = f"the folder of the CA; by default {_FOLDER}, or {_FOLDER_OF_MEMBERS} with --member"
    verb.add_argument("--folder", metavar="FOLDER", help=where)
    kinds = verb.add_mutually_exclusive_group()
    server = "make the certificate of a bus; NAME is that of its files alone"
    kinds.add_argument("--server", action="store_true", help=server)
    member = "make that of one more of several servers that are one bus; NAME as with --server"
    kinds.add_argument("--member", action="store_true", help=member)
    host = "with --server or --member, a DNS name or IP address at which it is reached; may be given several times"
    _add_host(verb, host)
    _add_days(verb, "it")
    renew = "replace the certificate and the key that NAME has; a bus keeps its hosts, and each --host comes to them"
    verb.add_argument("--renew", action="store_true", help=renew)


def _add_host(verb: VerbParser, text: str) -> None:
    """Add ``--host``, which is validated when the certificate is made."""
    verb.add_argument("--host", action="append", type=types.text, default=[], dest="hosts", metavar="HOST", help=text)


def _add_days(verb: VerbParser, what: str) -> None:
    text = f"how long {what} is valid, but never longer than the CA; by default 365"
    verb.add_argument("--days", type=types.count, default=365, metavar="N", help=text)


async def certs(arguments: argparse.Namespace) -> int:
    """Make what was asked for; print what was written and the command that is next.

    The exit code is 1 where something is wrong with the folder or its files, and where ``cryptography`` is not
    installed; the user is told.

    Raises:
      BadSetting: no certificate can have this name, host or number of days; exit code 2.

    """
    from .settings import BadSetting

    output = Output()  # before anything is made, so that there is somebody to be told of it
    try:
        from ..certs import InvalidCertificateRequest
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "cryptography":
            raise
        say(str(error))
        return Exit.ERROR
    try:
        lines = _init(arguments) if arguments.action == "init" else _issue(arguments)
    except InvalidCertificateRequest as error:
        raise BadSetting(str(error)) from error
    except OSError as error:
        say(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return Exit.ERROR
    for line in lines:
        await output.write(printable(line))
    return Exit.OK


def _init(arguments: argparse.Namespace) -> list[str]:
    """Make a CA and the certificate of the bus, or of the first server of one; return the lines to print."""
    from ..certs import Role, make_ca

    where = _folder(arguments)
    role = Role.MEMBER if arguments.member else Role.BUS
    ca, bus = make_ca(where, arguments.hosts, days=arguments.days, role=role)
    folder = [] if where == _usual_folder(arguments) else ["--folder", _word(where)]
    host = arguments.hosts[0] if arguments.hosts else "127.0.0.1"
    written = [f"{_written(ca)}: the CA"]
    if arguments.member:
        return [
            *written,
            f"{_written(bus)}: a server at {', '.join(bus.names)}",
            "start the server:",
            _federate(host, _PORT_OF_MEMBERS, ca.certificate, bus),
            "make the certificate of another server:",
            _command("certs", "issue", "south", "--member", "--host", "south.example", *folder),
        ]
    return [
        *written,
        f"{_written(bus)}: the bus at {', '.join(bus.names)}",
        "start the bus:",
        _serve(host, ca.certificate, bus),
        "make the certificate of a client:",
        _command("certs", "issue", "alice", *folder),
    ]


def _issue(arguments: argparse.Namespace) -> list[str]:
    """Issue a certificate of a client, or what an option asks for; return the lines to print."""
    from ..certs import InvalidCertificateRequest, Role, issue_client, issue_server

    folder, days, renew = _folder(arguments), arguments.days, arguments.renew
    ca = folder / "ca.pem"
    if arguments.member:
        bus = issue_server(folder, arguments.name, arguments.hosts, days=days, renew=renew, role=Role.MEMBER)
        shown = f"{_written(bus)}: a server at {', '.join(bus.names)}"
        port: int | str = "PORT" if _is_beside_the_first(folder, bus) else _PORT_OF_MEMBERS
        replaced = "PORT by a free port and HOST:7447" if port == "PORT" else "HOST:7447"
        told = f"start the server; replace {replaced} by the endpoint of a server that runs:"
        return [shown, told, _federate(bus.names[0], port, ca, bus, "--seed", "tls:HOST:7447")]
    if arguments.server:
        bus = issue_server(folder, arguments.name, arguments.hosts, days=days, renew=renew)
        shown = f"{_written(bus)}: a bus at {', '.join(bus.names)}"
        return [shown, "start the bus:", _serve(bus.names[0], ca, bus)]
    if arguments.hosts:
        raise InvalidCertificateRequest("--host is for --server: a client's certificate names the client alone")
    client = issue_client(folder, arguments.name, days=days, renew=renew)
    shown = f"{_written(client)}: the client {', '.join(client.names)}"
    command = _command("sub", "**", "--addr", f"tls:localhost:{_PORT}", *_options(ca, client))
    return [shown, "connect to the bus:", command]


def _is_beside_the_first(folder: Path, bus: Files) -> bool:
    """Tell whether a server is on the host of the first one, which has the usual port there already."""
    from ..certs.authority import first_hosts

    return bus.certificate != folder / "bus.pem" and not {*bus.names}.isdisjoint(first_hosts(folder))


def _folder(arguments: argparse.Namespace) -> Path:
    """Return the folder that was named, or else the usual one."""
    from pathlib import Path

    return _usual_folder(arguments) if arguments.folder is None else Path(arguments.folder)


def _usual_folder(arguments: argparse.Namespace) -> Path:
    from pathlib import Path

    return Path(_FOLDER_OF_MEMBERS if arguments.member else _FOLDER)


def _written(files: Files) -> str:
    """Say what was written, and how long it is valid."""
    return f"wrote {files.certificate} and {files.key}, valid until {files.expires:%Y-%m-%d}"


def _serve(host: str, ca: Path, bus: Files) -> str:
    """Return the command that serves at a host with this certificate."""
    return _command("serve", _place(host, _PORT), *_options(ca, bus))


def _federate(host: str, port: int | str, ca: Path, bus: Files, *seed: str) -> str:
    """Return the command that starts a server which the others find at a host, with this certificate."""
    files = ["--fed-ca", _word(ca), "--fed-cert", _word(bus.certificate), "--fed-key", _word(bus.key)]
    return _command("serve", "--bus", "plant", "--federate", _place(host, port), *seed, *files)


def _place(host: str, port: int | str) -> str:
    return f"tls:[{host}]:{port}" if ":" in host else f"tls:{host}:{port}"


def _options(ca: Path, files: Files) -> list[str]:
    """Return the options that name these files, the same for a bus and a client."""
    return ["--ca", _word(ca), "--certificate", _word(files.certificate), "--key", _word(files.key)]


def _word(path: Path) -> str:
    """Return a path as the value of an option, which must not begin like one."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def _command(*words: str) -> str:
    """Return a command as a shell reads it, indented below the line that it follows."""
    return f"  {command(*words)}"
