"""State that outlives a request: tasks, the tokens issued for them, and revocations; knows nothing of who may change it."""
