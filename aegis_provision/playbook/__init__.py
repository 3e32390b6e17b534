"""A rollout as values: plays, the batches they make of an inventory, and their failure budgets."""
