"""Notices of price changes: who gets them, the inbox and mail (R9)."""
