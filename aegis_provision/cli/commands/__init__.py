"""The commands: a module each, which is imported only when its command runs."""
