"""One file an algorithm; `algo=<name>` finds it by its name."""
