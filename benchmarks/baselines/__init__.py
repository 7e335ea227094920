"""Baselines to compare the shop with: small applications that return the same responses.

They read the shop's own tables and take databases and secrets from the same environment variables.
"""
