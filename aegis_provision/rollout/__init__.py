"""Plans and writes many hosts at once; what happens is emitted as events."""
