"""Deployment: what is built, the template, and the commands around both."""
