"""What is wrong on a host, and on the operator's own side: observations become checks."""
