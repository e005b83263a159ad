"""The Postman collection (R19): the routes' declarations, walked through by a story that is also a test."""
