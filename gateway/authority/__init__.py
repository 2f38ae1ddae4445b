"""The part that issues and revokes task tokens and keeps tasks; knows no HTTP and no relayed request."""
