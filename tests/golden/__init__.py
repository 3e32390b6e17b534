"""Expected outputs, whole."""
