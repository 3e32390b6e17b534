"""Desired and actual become a plan: what would change on a host, and why it may not."""
