"""Accounts: registration, sign-in, sessions, passwords (R1 to R4, R14)."""
