"""What a search finds books by, on PostgreSQL: their words, stored beside them and in an index.

`book_words` makes the words of a text comparable as `books.search_terms` does: whoever changes one changes
both, and fills the stored column again. The column is no field of the model, because SQLite has none and
nobody needs to fetch it. To add it the table is rewritten, which keeps everybody out of it for some seconds
with a hundred thousand books; all else only keeps books from being added or changed.

`books_word` has every word of all books, for words that are typed wrong. Its triggers leave out what
they see there, and lock nothing: two who add one word at the same time leave it there twice, which does
no harm, where a unique index would let them wait for each other, and in the wrong order for ever.

The extension is left in place when this is undone: others may use it.
"""

from django.db import migrations

SEPARATORS = "".join(chr(code) for code in range(1, 128) if not chr(code).isalnum()) + (
    "¡§«¶·»¿‐‒–—―‘’‚‛“”„‟†‡•′″‹›※⁄、。〈〉《》「」『』【】〔〕・"
)

# The functions name each other with their schema, because pg_restore searches none.
CREATE = """
CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE FUNCTION {schema}.book_words(words text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    IF octet_length(words) = char_length(words) THEN
        RETURN btrim(regexp_replace(lower(words), '[^a-z0-9]+', ' ', 'g'));
    END IF;
    words := lower(regexp_replace(
        normalize(words, NFKD), '[\\u0300-\\u036f\\u00ad\\u200b-\\u200f\\u2060\\u3099\\u309a\\ufeff]', '', 'g'
    ));
    words := translate(words, {separators} || 'ςøłđðıħŧ', repeat(' ', {spaces}) || 'σolddiht');
    words := replace(replace(replace(replace(words, 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th');
    words := regexp_replace(words, '([\\u3040-\\u30ff\\u3400-\\u9fff])', ' \\1 ', 'g');
    words := regexp_replace(words, '([^ ]{{200}})', '\\1 ', 'g');
    RETURN btrim(regexp_replace(words, ' +', ' ', 'g'));
END
$$;

CREATE FUNCTION {schema}.book_tokens(words text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN array_to_tsvector(string_to_array({schema}.book_words(words), ' '));
END
$$;

ALTER TABLE books_book
    ADD COLUMN words tsvector GENERATED ALWAYS AS ({schema}.book_tokens(name || ' ' || author)) STORED;
CREATE INDEX book_by_words ON books_book USING gin (words);

CREATE TABLE books_word (word text COLLATE "C" NOT NULL);
CREATE FUNCTION {schema}.books_word_add() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {schema}.books_word
    SELECT DISTINCT this.word FROM changed, unnest(tsvector_to_array(changed.words)) AS this (word)
    WHERE char_length(this.word) BETWEEN 3 AND 24
    AND NOT EXISTS (SELECT FROM {schema}.books_word AS known WHERE known.word = this.word);
    RETURN NULL;
END
$$;
INSERT INTO books_word
    SELECT DISTINCT word FROM books_book, unnest(tsvector_to_array(words)) AS word
    WHERE char_length(word) BETWEEN 3 AND 24;
CREATE INDEX books_word_itself ON books_word (word);
CREATE INDEX books_word_by_trigrams ON books_word USING gin (word gin_trgm_ops);
CREATE TRIGGER books_word_add AFTER INSERT ON books_book
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {schema}.books_word_add();
CREATE TRIGGER books_word_add_changed AFTER UPDATE ON books_book
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {schema}.books_word_add();
"""

DROP = """
DROP TRIGGER books_word_add ON books_book;
DROP TRIGGER books_word_add_changed ON books_book;
DROP FUNCTION books_word_add();
DROP TABLE books_word;
ALTER TABLE books_book DROP COLUMN words;
DROP FUNCTION book_tokens(text);
DROP FUNCTION book_words(text);
"""


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT quote_ident(current_schema())")
            [schema] = cursor.fetchone()
        separators = schema_editor.quote_value(SEPARATORS)
        schema_editor.execute(
            CREATE.format(schema=schema, separators=separators, spaces=len(SEPARATORS)), params=None
        )


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(DROP)


class Migration(migrations.Migration):
    dependencies = [("books", "0002_catalogue_orders")]

    operations = [migrations.RunPython(create, drop)]
