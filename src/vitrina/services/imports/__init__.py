"""Products from files: read, compared with the catalogue, and then written by the rules that requests go by."""
