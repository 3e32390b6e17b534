"""SSH: the only package that imports paramiko."""
