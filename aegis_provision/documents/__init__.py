"""YAML text to values with positions, and what is wrong with them, in the words of a person."""
