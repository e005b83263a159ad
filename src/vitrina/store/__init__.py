"""All that knows the table: keys, items, calls and the named access patterns of table_design.md."""
