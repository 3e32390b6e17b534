"""The operator's own files: read within bounds, written whole or not at all."""
