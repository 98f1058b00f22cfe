"""The bus as Trio tasks: listeners, connections, and the one router they share."""
