"""The rate limit: a quota that all processes of a user share, and a limiter that waits for it."""
