"""Version of the gateway, as `/health`, the log, the commands and vendors see it."""

VERSION = "2.0.0"
