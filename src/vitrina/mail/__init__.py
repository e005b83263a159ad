"""Mail to admins: messages, translations and transports."""
