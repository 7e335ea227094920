"""What people would write instead, and the floor: each small, each answers what the shop answers.

They read the shop's own tables. Databases and secrets are named by the environment, as the shop's are.
"""
