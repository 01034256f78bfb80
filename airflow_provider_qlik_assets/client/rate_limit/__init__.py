"""The rate limit: asks a quota that all who share a user of the tenant share, and waits for its turn."""
