"""Books from a file: a table of text in, books and copies in the shop out.

`table` tells rows apart, `columns` says which column is what, `rows` makes sense of one row,
`matching` decides which book a row is about, `importer` puts that into the database, `rejects` keeps
the rows that were refused.
"""
