"""A private CA and the certificates of a bus and its clients, for a trial and for small fleets.

A folder holds the CA (``ca.pem``, ``ca.key``) and what it issued, one ``NAME.pem`` and ``NAME.key`` each. Whoever holds
``ca.key`` can be anybody on the bus: programs need ``ca.pem`` and their own two files, never that one. There is no
revocation: a certificate is good until it ends, or until the CA is replaced.

The laws of this module:

- A certificate is for one end of a connection, server or client, and its identity is the subject alternative name
  alone; the common name is a label for people.
- Nothing outlives its CA.
- A key is closed to other users from the moment its file exists. No file is ever half written, and none is replaced
  but by a newer certificate of the same owner.

It needs the extra ``t2bus[certs]``.
"""

from __future__ import annotations

from .build import CA_DAYS, LEAF_DAYS, Pair, UnusableAuthority, build_authority, build_client, build_server
from .folder import LOCAL_HOSTS, Files, issue_client, issue_server, make_ca
from .names import InvalidCertificateRequest, host_name, host_names, identity_name, stem

__all__ = [
    "CA_DAYS",
    "LEAF_DAYS",
    "LOCAL_HOSTS",
    "Files",
    "InvalidCertificateRequest",
    "Pair",
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
