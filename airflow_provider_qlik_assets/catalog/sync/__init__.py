"""Make the data assets of a data store as a list or a file says: read it, plan, apply."""
