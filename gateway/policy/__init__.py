"""May they: rules, their compiled form and the decision; pure, and knows neither bytes nor secrets."""
