"""Reading the file of access rules: what it means, and what every error in it says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from t2bus.broker.access import Access, Rules, Verb
from t2bus.broker.access_file import LARGEST, RULES, parse
from t2bus.broker.identity import Identity
from t2bus.errors import BusError, InvalidAccess, InvalidTopic
from t2bus.testing import topics

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
deny = { subscribe = ["secret/**"] }      # same five verbs inside deny
"""

WORDS = "there are publish, publish_wildcards, subscribe, serve, request"


def error_of(text: str) -> str:
    """Return what the refusal of a file says."""
    with pytest.raises(InvalidAccess) as caught:
        parse(text)
    return str(caught.value)


class TestMeaning:
    """What the tables and keys of a file become."""

    def test_example(self) -> None:
        """Every table and every key is taken for what it says."""
        assert parse(EXAMPLE) == Access(
            Rules({Verb.SUBSCRIBE: ("public/**",)}),
            {
                "spiffe://lab/oven": Rules(
                    {Verb.PUBLISH: ("oven/**",), Verb.PUBLISH_WILDCARDS: ("oven/**",), Verb.SERVE: ("oven/set",)}
                ),
                "uid:1000": Rules(
                    {Verb.SUBSCRIBE: ("**",), Verb.REQUEST: ("*/status",)}, {Verb.SUBSCRIBE: ("secret/**",)}
                ),
            },
        )

    @pytest.mark.parametrize("text", ["", "# nothing yet\n", "[everyone]", "[identity]", "[everyone]\nserve = []"])
    def test_no_rules(self, text: str) -> None:
        """A file without rules is valid and allows nothing."""
        granted = parse(text).permissions(Identity("local"))
        assert not any(granted.explain(verb, topic).allowed for verb in Verb for topic in ("a", "**"))

    def test_deny_may_be_a_table_of_its_own(self) -> None:
        """The deny rules may be dotted keys or a table of their own, which are the same in TOML."""
        rules = Access(Rules(), {"x": Rules(deny={Verb.SERVE: ("a",)})})
        for text in ('identity.x.deny.serve = ["a"]', '[identity.x.deny]\nserve = ["a"]'):
            assert parse(text) == rules

    @pytest.mark.parametrize("topic", ["a" * 256, "/".join(["**"] * 16)])
    def test_the_longest_topics(self, topic: str) -> None:
        """A rule may be as long and as deep as topics are by default."""
        assert parse(f'everyone.serve = ["{topic}"]').everyone.allow == {Verb.SERVE: (topic,)}

    @steady(50)
    @given(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
            st.tuples(*[st.dictionaries(st.sampled_from(Verb), st.lists(topics(), max_size=3).map(tuple))] * 2),
        )
    )
    def test_what_is_written_is_read(
        self, written: dict[str, tuple[dict[Verb, tuple[str, ...]], dict[Verb, tuple[str, ...]]]]
    ) -> None:
        """All rules of all identities are read as they were written."""
        lines: list[str] = []
        for name, (allow, deny) in written.items():
            quoted = json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
            lines.append(f"[identity.{quoted}]")
            lines.extend(f"{verb.value} = {json.dumps(rules)}" for verb, rules in allow.items())
            lines.extend(f"deny.{verb.value} = {json.dumps(rules)}" for verb, rules in deny.items())
        identities = {name: Rules(allow, deny) for name, (allow, deny) in written.items()}
        assert parse("\n".join(lines)) == Access(Rules(), identities)


class TestErrors:
    """Whatever is not a rule is refused, with its place and a hint."""

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("[everyon]", 'unknown table "everyon": did you mean "everyone"?'),
            ("[identities.x]", 'unknown table "identities": did you mean "identity"?'),
            ("version = 1", 'unknown key "version": there are everyone and identity'),
            (
                'publish = ["a"]',
                '"publish" stands outside of a table: put it below [everyone] or [identity."NAME"]',
            ),
            ("[deny]", '"deny" stands outside of a table: put it below [everyone] or [identity."NAME"]'),
            ("everyone = 1", "everyone: it must be a table, not an integer"),
            ("[[everyone]]", "everyone: it must be a table, not an array"),
            ('identity = "x"', "identity: it must be a table, not a string"),
            ('[identity]\npublish = ["a"]', 'identity "publish": it must be a table, not an array'),
            ('[identity.""]', 'identity "": the name is empty: for all identities use [everyone]'),
            ("[everyone]\npublsh = []", 'everyone: unknown key "publsh": did you mean "publish"?'),
            ("[everyone]\nallow = []", f'everyone: unknown key "allow": {WORDS} and deny'),
            ("[everyone.x]", f'everyone: unknown table "x": {WORDS} and deny'),
            ("[identity.x]\nx = 1", f'identity "x": unknown key "x": {WORDS} and deny'),
            ("[identity.x.denys]", 'identity "x": unknown table "denys": did you mean "deny"?'),
            (
                "[identity.bus.example]",
                (
                    'identity "bus": unknown table "example": a name with dots needs quotes, as in '
                    '[identity."bus.example"]'
                ),
            ),
            (
                "everyone.deny = ['a']",
                "everyone: deny: it must be a table, not an array",
            ),
            ("everyone.deny.serv = []", 'everyone: deny: unknown key "serv": did you mean "serve"?'),
            (
                "everyone.deny.deny = {}",
                (
                    'everyone: deny: unknown table "deny": '
                    "there are publish, publish_wildcards, subscribe, serve and request"
                ),
            ),
            (
                'everyone.serve = "a"',
                'everyone: serve: it must be an array of topics, such as ["a/**"], not a string',
            ),
            (
                "[identity.x.publish]",
                'identity "x": publish: it must be an array of topics, such as ["a/**"], not a table',
            ),
            ("everyone.serve = ['a', 1]", "everyone: serve: item 2 must be a topic in quotes, not an integer"),
            ("everyone.serve = [true]", "everyone: serve: item 1 must be a topic in quotes, not a boolean"),
            ("everyone.serve = [1.5]", "everyone: serve: item 1 must be a topic in quotes, not a float"),
            ("everyone.serve = [['a']]", "everyone: serve: item 1 must be a topic in quotes, not an array"),
            ("everyone.serve = [2024-01-01]", "everyone: serve: item 1 must be a topic in quotes, not a date or time"),
            (
                '[identity."uid:1000"]\ndeny = { subscribe = ["a", "a//b"] }',
                (
                    "identity \"uid:1000\": deny.subscribe: 'a//b' is no topic: fragment 2 of topic 'a//b' is empty: "
                    "take out the extra '/'"
                ),
            ),
            (
                "everyone.serve = ['']",
                (
                    "everyone: serve: '' is no topic: the topic is empty: name at least one fragment, "
                    "or '**' for every topic"
                ),
            ),
        ],
    )
    def test_what_is_no_rule(self, text: str, says: str) -> None:
        """The error says where it is, what is wrong, and what was probably meant."""
        assert error_of(text) == says

    def test_of_several_the_first_is_told(self) -> None:
        """The error is the first one in the file."""
        assert error_of("[everyone]\nserv = 1\nsubscrib = 1\n[identiti]") == (
            'everyone: unknown key "serv": did you mean "serve"?'
        )

    @pytest.mark.parametrize(
        ("text", "place"),
        [("[everyone]\npublish = [a]", "(at line 2, column 12)"), ("[identity.spiffe://x]", "(at line 1, column 17)")],
    )
    def test_what_is_no_toml(self, text: str, place: str) -> None:
        """The error says line and column."""
        said = error_of(text)
        assert said.startswith("invalid TOML: ")
        assert said.endswith(place)

    def test_repeated_tables(self) -> None:
        """Rules of one identity in two places are an error, not two halves or the later one."""
        assert error_of("[identity.x]\n[identity.x]").startswith("invalid TOML: Cannot declare ('identity', 'x') twice")

    def test_deep_nesting(self) -> None:
        """Brackets without end are an error like any other."""
        assert error_of("everyone = " + "[" * 100_000) == "invalid TOML: it is nested too deeply"

    def test_endless_numbers(self) -> None:
        """A number too long to be read is an error like any other."""
        assert error_of("everyone = " + "1" * 5000).startswith("invalid TOML: Exceeds the limit")

    def test_the_cause_is_kept(self) -> None:
        """The error is a BusError and a ValueError, and an invalid topic is its cause."""
        with pytest.raises(InvalidAccess) as caught:
            parse("everyone.serve = ['A']")
        assert isinstance(caught.value, BusError)
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value.__cause__, InvalidTopic)


class TestBounds:
    """How large a file may be, and how long what is said of it."""

    def test_size(self) -> None:
        """A file of the greatest size is read, and one with a byte more is not, whatever its characters take."""
        said = "it has more than 1048576 bytes: use wildcards and groups"
        assert parse("#" * LARGEST) == Access(Rules(), {})
        assert error_of("#" * (LARGEST + 1)) == said
        assert parse("##" + "\u00e9" * (LARGEST // 2 - 1)) == Access(Rules(), {})
        assert error_of("#" + "\u00e9" * (LARGEST // 2)) == said

    def test_rules(self) -> None:
        """A table may have a thousand rules, those of deny included."""
        half = json.dumps([f"a/{number}" for number in range(RULES // 2)])
        text = f"[identity.x]\nserve = {half}\ndeny.serve = {half}\n"
        assert len(parse(text).identities["x"]) == RULES == 1000
        assert error_of(text + 'request = ["a"]') == (
            'identity "x": there are 1001 rules where 1000 are allowed: use wildcards'
        )

    @pytest.mark.parametrize("text", ['"{}" = 1', '[identity."{}"]\nx = 1', 'everyone.serve = ["{}"]'])
    def test_the_text_is_short(self, text: str) -> None:
        """However long a key, a name or a topic is, no more than 80 characters of it are echoed."""
        said = error_of(text.format("x" * 100_000))
        assert len(said) < 350
        assert "x" * 77 + "..." in said


class TestAnything:
    """Texts that nobody thought of."""

    @steady(200)
    @given(
        st.lists(
            st.sampled_from([*'[]{}=."\n,#', "everyone", "identity", "deny", "serve", "publish", '"a/**"', "1", " "])
        ).map("".join)
    )
    def test_is_read_or_refused(self, text: str) -> None:
        """Whatever the text, it is a file of rules or InvalidAccess is raised."""
        try:
            access = parse(text)
        except InvalidAccess as error:
            assert str(error)  # noqa: PT017 -- either end is fine
        else:
            assert isinstance(access, Access)
