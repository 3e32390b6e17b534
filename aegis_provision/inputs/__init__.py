"""What an operator hands in, read from disk: inventories, scripts, playbooks, env files."""
