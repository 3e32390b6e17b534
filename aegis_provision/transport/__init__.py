"""Getting to a host's file and back: SSH or local, one code path for both."""
