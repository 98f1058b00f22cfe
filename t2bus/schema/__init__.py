"""The protocols of a program as an AsyncAPI 3.0 document, and what breaks between two versions of them.

::

    made = document(Hello, Measure)                        what `t2bus schema --json` prints
    print(listing(made))                                   what `t2bus schema` prints
    for finding in compare(old, made): print(finding)      what `t2bus schema diff` prints

:mod:`.compare` has the directions, :mod:`.fits` follows two layouts down to :mod:`.flaws`, by :mod:`.pieces`;
:mod:`.listing` is for people, :mod:`.reading` makes layouts of documents; :mod:`.asyncapi` makes documents of the
:mod:`.protocols` of classes, with :mod:`.json_schema` and the docstrings of :mod:`.prose`; :mod:`.words` names types.
"""

from .asyncapi import document
from .compare import Finding, compare
from .listing import listing
from .reading import BadDocument

__all__ = ["BadDocument", "Finding", "compare", "document", "listing"]
