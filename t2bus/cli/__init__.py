"""The command line: ``t2bus serve``, ``sub``, ``pub``, ``request`` and ``reply``.

Data goes to standard output, everything else to standard error. Modules here import Trio inside their functions, or are
themselves imported by the verb that needs them, so that ``--help`` is instant.
"""

from .run import main

__all__ = ["main"]
