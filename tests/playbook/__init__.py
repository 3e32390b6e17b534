"""Playbooks as values."""
