"""The AsyncAPI 3.0 document of a program: its topics as channels, what it may do there, and what passes.

::

    class Hello(PublishProtocol, prefix="hello")
        channel publish.hello, "hello/{topic}"; operations publish.hello (send) and subscribe.hello (receive)
    class Measure(RequestProtocol[Reading], prefix="measure")
        channel request.measure, "measure/{topic}"; operations request.measure (send) and serve.measure (receive),
        both with the reply on channel reply.measure, whose address is nobody's to know

The theory. A class says where its topics begin, and who uses it says how they go on. So each channel has one parameter,
``topic``, for all that follows the prefix, and ``x-t2bus-prefix`` says the prefix itself. A response goes back to who
asked, on no topic at all.

The law of this module: the same classes make the same document, so that it can be kept beside the code and compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .json_schema import SchemaWriter, component_name
from .prose import doc_of
from .protocols import PUBLISH, layouts_of

if TYPE_CHECKING:
    from .json_schema import Schema
    from .protocols import ProtocolLayout

Document: TypeAlias = dict[str, Any]

PREFIX: Final = "x-t2bus-prefix"
ROLE: Final = "x-t2bus-role"

_TOPIC: Final = (
    "What follows the prefix: one fragment or more, joined by '/', or nothing, and then the topic is the prefix alone."
)


def document(*protocols: Any, title: str = "t2bus", version: str = "0.0.0") -> Document:
    """Return the AsyncAPI 3.0 document of protocols, as values that ``json.dumps`` takes.

    Args:
      protocols: classes that derive from ``PublishProtocol`` or ``RequestProtocol``, generic ones with arguments too.
      title: the name of the program, as ``info.title``.
      version: its version, as ``info.version``.

    Raises:
      TypeError: one is no protocol, or one that cannot travel; the text says how to mend it.

    """
    writer = SchemaWriter()
    made: Document = {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version},
        "defaultContentType": "application/cbor",
        "channels": {},
        "operations": {},
        "components": {"messages": {}, "schemas": {}},
    }
    for protocol in layouts_of(dict.fromkeys(protocols)):
        _add(made, protocol, writer)
    made["components"]["schemas"] = dict(sorted(writer.definitions.items()))
    return made


def _add(made: Document, protocol: ProtocolLayout, writer: SchemaWriter) -> None:
    """Add the channels, operations and messages of one protocol."""
    place = protocol.prefix.replace("/", ".")
    name = _message(made, protocol.name, protocol.type_, writer.schema_of(protocol.message))
    channel = f"{protocol.role}.{place}"
    found = _channel(made, channel, f"{protocol.prefix}/{{topic}}", name)
    found |= {PREFIX: protocol.prefix, ROLE: protocol.role}
    sends, receives = (PUBLISH, "subscribe") if protocol.role == PUBLISH else (protocol.role, "serve")
    for operation, action in ((sends, "send"), (receives, "receive")):
        made["operations"].setdefault(
            f"{operation}.{place}",
            {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": []},
        )["messages"].append({"$ref": f"#/channels/{channel}/messages/{name}"})
    if protocol.response is not None:
        reply = f"reply.{place}"
        answer = _message(made, f"{protocol.name}.response", None, writer.schema_of(protocol.response))
        _channel(made, reply, None, answer)
        made["components"]["messages"][name]["x-t2bus-response"] = answer
        for operation in (f"{sends}.{place}", f"{receives}.{place}"):
            made["operations"][operation].setdefault(
                "reply", {"channel": {"$ref": f"#/channels/{reply}"}, "messages": []}
            )["messages"].append({"$ref": f"#/channels/{reply}/messages/{answer}"})


def _message(made: Document, title: str, type_: Any, payload: Schema) -> str:
    """Add a message, and return its name, which no other has."""
    messages = made["components"]["messages"]
    name = base = component_name(title)
    number = 1
    while name in messages:
        number += 1
        name = f"{base}_{number}"
    message: Schema = {"name": title, "title": title, "contentType": "application/cbor", "payload": payload}
    if type_ is not None and (doc := doc_of(type_)):
        message["summary"] = doc.partition("\n\n")[0].replace("\n", " ")
    messages[name] = message
    return name


def _channel(made: Document, channel: str, address: str | None, message: str) -> Schema:
    """Add a message to a channel, which is made for the first; return the channel."""
    parameters: Schema = {} if address is None else {"parameters": {"topic": {"description": _TOPIC}}}
    found: Schema = made["channels"].setdefault(channel, {"address": address, "messages": {}, **parameters})
    found["messages"][message] = {"$ref": f"#/components/messages/{message}"}
    return found
