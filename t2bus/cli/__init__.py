"""The command line: a bus (``t2bus serve``), clients of one (``sub``, ``pub``, ``request``), and what needs none.

=================  =======================================================
module             has
=================  =======================================================
``parser``         the grammar, made of the parts in ``arguments``
``run``            from a command line to an exit code of ``exits``
``serving``        ``serve``, told by ``settings``
``serve_open``     what it listens at, with what is ``inherited``
``serve_check``    ``serve --check``
``notify``         what a supervisor is told; ``ready_file`` too
``supervision``    its options for who supervises it
``log_lines``      its log; ``introduction`` is what it says first
``subscribing``    ``sub``, which prints ``message_lines``
``publishing``     ``pub``
``requesting``     ``request`` and ``reply``
``looking``        the grammar of the verbs that look at a bus
``lists``          ``status``, ``clients``, ``ls`` …: ``views`` of it
``everywhere``     ``--all``, which looks at all servers of the bus
``event_lines``    ``events``; ``pinging`` is ``ping``
``top``            ``top``, with a ``top_picture`` on a ``top_screen``
``bench``          the grammar of ``bench``, whose ``loads`` make a ``measurement``
``access_check``   ``access check`` and ``access explain``
``certificates``   ``certs init`` and ``certs issue``
``naming``         ``register``, ``unregister`` and ``context``
``matching``       ``match``
``schemas``        ``schema`` and ``schema diff``
``completion``     ``completion``
``connecting``     what the verbs that are clients have in common
``notation``       values, as they are written and shown
``payloads``       what is made of a value, by the options of a command
``console``        standard output and error; ``stdin`` has the input
``progress``       the bar of what takes long
``signals``        SIGINT, SIGTERM and SIGHUP
=================  =======================================================

Data goes to standard output, everything else to standard error.

The law of this package: ``--help`` is instant. A module that is imported for it has only the standard library, Trio is
imported inside functions, and a verb's own module when that verb runs.
"""

from .run import main

__all__ = ["main"]
