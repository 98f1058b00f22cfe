"""A client of a bus: one connection, and the objects that programs hold.

================  ====================================================
module            has
================  ====================================================
``connect``       ``open_client``: connect, shake hands, run
``client``        ``Client``, which has all calls
``pubsub``        those that publish and subscribe
``requests``      those that ask and answer
``calls``         what these have in common
``handlers``      functions of the program, which it calls
``publisher``     many publications to one topic, on their way at once
``subscription``  the messages of one subscription
``service``       the requests to one service, and their answers
``connection``    the tasks of a client, and how calls wait
``writer``        when what waits is written, and how much at once
================  ====================================================

What a client may send and what an answer means is known by :mod:`t2bus.session`, which never waits. Here are the tasks
and the calls that do.

The law of this package: a call that is cancelled leaves the client usable, and what an ``async with`` has opened it
closes.
"""
