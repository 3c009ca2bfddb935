"""The command line: one module a command group, loaded when it is used."""
