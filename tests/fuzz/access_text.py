"""Fuzz files of access rules: what is no such file is said to be none, and what is one has a verdict on every topic."""

from __future__ import annotations

from harness import fuzz
from t2bus.broker.access import Verb
from t2bus.broker.access_file import mistakes_in, parse
from t2bus.broker.identity import Identity
from t2bus.errors import InvalidAccess, PermissionDenied

EXAMPLE = """\
[everyone]
subscribe = ["public/**"]

[identity."spiffe://lab/oven"]
publish = ["oven/**"]
publish_wildcards = ["oven/**"]
serve = ["oven/set"]

[identity."uid:1000"]
subscribe = ["**"]
request = ["*/status"]
deny = { subscribe = ["secret/**"], publish = [] }
"""

SEEDS = [
    EXAMPLE.encode(),
    *(b"", b"[everyone]\npublsh = ['a']", b"subscribe = ['a']", b"[identity.a.b]\nserve = ['*']", b"everyone = 1"),
    *(b"[everyone]\nsubscribe = ['A', 'b/', 7]", b"[identity.'']", b"a.b.c.d.e = [[[[{}]]]]", b"x = '\xc3\xa4'"),
    *(
        b'"\\u0041\\U0001F600" = 1979-05-27T07:32:00Z',
        b"x = 0x_1\ny = inf\nz = '''\n'''",
        b"\xef\xbb\xbf[everyone]\r\n",
    ),
]

IDENTITIES = [Identity("uid:1000", ("gid:1000",)), Identity("nobody")]
TOPICS = ["oven/heat", "secret/**", "*/status", "**"]


def run(data: bytes) -> None:
    """Read the file both ways, and ask what its rules allow."""
    text = data.decode(errors="surrogateescape")
    mistakes = [str(each.error) for each in mistakes_in(text)]
    try:
        access = parse(text)
    except InvalidAccess as error:
        said = str(error)
        assert mistakes[:1] == [said]
        return
    assert not mistakes
    for identity in IDENTITIES:
        permissions = access.permissions(identity)
        for verb in Verb:
            for topic in TOPICS:
                allowed = True
                try:
                    permissions.check(verb, topic)
                except PermissionDenied:
                    allowed = False
                assert permissions.explain(verb, topic).allowed is allowed


if __name__ == "__main__":
    fuzz(run, SEEDS)
