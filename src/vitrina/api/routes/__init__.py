"""The routes: one file a resource. Each handler parses, calls one service and serialises."""
