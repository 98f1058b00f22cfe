"""A chat of rooms and users, in which both who speaks and who listens may use wildcards.

Everybody has a place, ROOM/USER. What is said is addressed to places, one or many. Start a bus with
`python -m t2bus serve`, then, each in a terminal of its own:

    python examples/chat.py listen lobby/alice          what reaches Alice in the lobby
    python examples/chat.py listen 'lobby/*'            what reaches anybody in the lobby
    python examples/chat.py say lobby/alice 'Hello'     to Alice, if she is in the lobby
    python examples/chat.py say 'lobby/*' 'Lunch?'      to everybody in the lobby
    python examples/chat.py say '*/alice' 'Taxi!'       to Alice, whatever room she is in
    python examples/chat.py say '**' 'Fire drill'       to everybody
"""

from __future__ import annotations

import argparse
import getpass
import sys

import trio
from attrs import frozen

import t2bus


@frozen
class Said(t2bus.PublishProtocol, prefix="chat"):
    author: str
    text: str


async def listen(client: t2bus.Client, places: str) -> None:
    async with client.subscribe(Said, places) as messages:
        print(f"listening to {places}", flush=True)
        async for message in messages:
            said = message.body
            print(f"{said.author} to {message.topic.removeprefix('chat/')}: {said.text}", flush=True)


async def say(client: t2bus.Client, places: str, said: Said) -> None:
    listeners = await client.publish(places, said)
    print(f"accepted for {listeners} connections")


async def main(arguments: argparse.Namespace) -> None:
    async with t2bus.open_client(arguments.addr) as client:
        if arguments.role == "listen":
            await listen(client, arguments.places)
        else:
            await say(client, arguments.places, Said(arguments.name, arguments.text))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Chat over a bus.")
    parser.add_argument("--addr", default=t2bus.default_address(), help="the bus (default: %(default)s)")
    roles = parser.add_subparsers(dest="role", required=True)
    listener = roles.add_parser("listen", help="print what is said to these places, until Ctrl-C")
    listener.add_argument("places", help="ROOM/USER, either of them may be *, or ** for everywhere")
    speaker = roles.add_parser("say", help="say one thing to these places")
    speaker.add_argument("places", help="as for listen")
    speaker.add_argument("text")
    speaker.add_argument("--name", default=getpass.getuser(), help="who says it (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        trio.run(main, parse_arguments())
    except KeyboardInterrupt:
        pass
    except t2bus.BusError as error:
        sys.exit(f"{type(error).__name__}: {error}")
