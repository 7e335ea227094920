"""Imports books and copies from a CSV file.

`table` splits the file into records, `columns` maps columns to fields, `rows` parses one record, `matching`
finds the book that a row is about, `importer` writes to the database, and `rejects` saves the refused rows.
"""
