"""What is wrong on a host, and on the control node: observations become checks."""
