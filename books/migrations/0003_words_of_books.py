"""Store the words of each book in an indexed column for searching, on PostgreSQL.

`book_words` normalizes text as `books.search_terms` does. Change both together, and fill the stored column
again. The column is not a model field, because SQLite has none and it is never fetched. Adding it rewrites
the table, which stays locked for reads and writes until the migration commits: some seconds with a hundred
thousand books.

`books_word` holds every word of all books, to correct misspelled words. Its triggers skip words that they can
already see, and take no locks. Two transactions that add the same word at the same time therefore store it
twice, which does no harm. With a unique index they would wait for each other, and could deadlock.

Reversing this migration keeps the extension, which others may use.
"""

from django.db import migrations

SEPARATORS = "".join(chr(code) for code in range(1, 128) if not chr(code).isalnum()) + (
    "¡§«¶·»¿‐‒–—―‘’‚‛“”„‟†‡•′″‹›※⁄、。〈〉《》「」『』【】〔〕・"
)

# The functions qualify each other's names, because pg_restore runs with an empty search path.
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
