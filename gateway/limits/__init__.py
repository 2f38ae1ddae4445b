"""How much is left: what an upstream or a task may still use; knows nothing of why."""
