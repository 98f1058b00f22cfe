"""Contexts: buses that are known by name, each with the certificates that belong to it.

============  ====================================================
module        has
============  ====================================================
``document``  what is known, as values, and as text and back
``file``      the file that it is in: found, read and changed
============  ====================================================

The law of this package: certificates belong to the context that names them; an address that is given as such has none.
"""
