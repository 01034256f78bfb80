"""Make the data assets of a data store match a list or a file: read, plan, apply."""
