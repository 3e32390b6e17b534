"""The command line: the only place that sees arguments, environment and exit codes."""
