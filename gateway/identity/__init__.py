"""Who is calling: workload identities at the authority, task tokens at the gateway."""
