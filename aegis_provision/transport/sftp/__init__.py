"""SFTP as requests and replies over any stream of bytes."""
