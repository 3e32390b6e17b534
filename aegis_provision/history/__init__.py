"""Every run leaves a record in the operator's state directory: what it did, and never a value."""
