"""Conversions between the domain's entities and their items, one module for each family.

What is no entity of the domain (a lease, a stored response, an entry of the ledger) is converted by its own store.
"""
