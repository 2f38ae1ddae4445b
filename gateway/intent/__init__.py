"""What the caller is about to do: declared intents and observed operations; knows nothing of who may."""
