"""The version of this package: what the build, ``--version`` and records say."""

__version__ = "0.1.0"
