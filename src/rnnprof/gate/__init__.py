"""The CI gate: budgets, evidence, verdicts, and their formats."""
