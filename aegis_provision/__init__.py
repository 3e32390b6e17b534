"""aegis-provision: brings a fleet of Aegis hosts to the LLM providers an inventory names."""

__version__ = "0.1.0"
