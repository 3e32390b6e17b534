"""A small fleet of SSH hosts on loopback to try everything on."""
