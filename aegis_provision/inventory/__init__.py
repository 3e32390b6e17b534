"""Groups, hosts and their settings, each with the place it came from."""
