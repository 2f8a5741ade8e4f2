"""Libraries that learn for a policy, behind the contract of `core.select`; each is imported only where it learns."""
