"""The verbs of the program: load, plan, apply, status, rollback, import, pin, history."""
