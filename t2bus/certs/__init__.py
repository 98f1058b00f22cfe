"""A private certificate authority (CA) and the certificates of a bus and its clients, for trials and small fleets.

::

    from pathlib import Path
    from t2bus.certs import issue_client, make_ca

    make_ca(Path("certs"), ["bus.example"])  # ca.pem, ca.key, bus.pem, bus.key
    alice = issue_client(Path("certs"), "alice")  # alice.pem, alice.key
    tls = t2bus.tls.client_context(ca="certs/ca.pem", certificate=alice.certificate, key=alice.key)

The folder holds the CA and what it issued, one ``NAME.pem`` and ``NAME.key`` each. Whoever holds ``ca.key`` can be
anybody on the bus: programs need ``ca.pem`` and their own two files, never that one. There is no revocation: a
certificate is valid until it expires, or until the CA is replaced. On the command line it is ``t2bus certs``.

The laws of this module:

- A certificate is for one end of a connection, server or client. Only that of a member, one of several servers that
  are one bus (``Role.MEMBER``), is for both, and no client should have one of its CA.
- Its identity is the subject alternative name alone; the common name is a label for people.
- No certificate is valid longer than its CA.
- A key is closed to other users from the moment its file exists. No file is ever half written, and none is replaced
  but by a newer certificate of the same owner.

All functions are synchronous: they read and write a few small files, and make a key in about a millisecond. The package
``cryptography`` is needed, which the extra ``t2bus[certs]`` brings.
"""

from __future__ import annotations

from ..called import install

try:
    from .build import CA_DAYS, LEAF_DAYS, Pair, Role, UnusableAuthority, build_authority, build_client, build_server
    from .folder import LOCAL_HOSTS, Files, issue_client, issue_server, make_ca
    from .names import InvalidCertificateRequest, host_name, host_names, identity_name, stem
except ModuleNotFoundError as _error:
    if _error.name is None or _error.name.partition(".")[0] != "cryptography":
        raise
    _remedy = f"run `{install('certs')}`"
    raise ModuleNotFoundError(f"certificates need the package cryptography: {_remedy}", name=_error.name) from _error

__all__ = [
    "CA_DAYS",
    "LEAF_DAYS",
    "LOCAL_HOSTS",
    "Files",
    "InvalidCertificateRequest",
    "Pair",
    "Role",
    "UnusableAuthority",
    "build_authority",
    "build_client",
    "build_server",
    "host_name",
    "host_names",
    "identity_name",
    "issue_client",
    "issue_server",
    "make_ca",
    "stem",
]
