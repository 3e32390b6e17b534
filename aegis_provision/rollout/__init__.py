"""Plans are made and carried out over many hosts at once; what happens is told as events."""
