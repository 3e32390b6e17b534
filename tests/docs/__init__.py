"""Documents are run."""
