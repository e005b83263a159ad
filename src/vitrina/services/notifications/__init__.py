"""Notices of price changes: their recipients, the inbox and the mail (R9)."""
