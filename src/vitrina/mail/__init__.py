"""Mail to admins: how it reads, and the ways in which it leaves."""
