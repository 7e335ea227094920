"""Adds indexes to find accounts by: staff, superusers, inactive and, on PostgreSQL, any part of a name.

The expressions are those of Django's `icontains`. The migration of books has created the extension.
"""

from django.db import migrations, models

INDEX = """
CREATE INDEX account_by_trigrams ON accounts_user USING gin (
    UPPER(username::text) gin_trgm_ops, UPPER(email::text) gin_trgm_ops,
    UPPER(name::text) gin_trgm_ops, UPPER(phone::text) gin_trgm_ops
)
"""


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(INDEX)
        # Without statistics on the expressions, a search would scan all accounts.
        schema_editor.execute("ANALYZE accounts_user")


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX account_by_trigrams")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_password_attempts"), ("books", "0003_words_of_books")]

    operations = [
        migrations.AddIndex(
            model_name="user",
            index=models.Index(fields=["username"], condition=models.Q(is_staff=True), name="account_staff"),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                fields=["username"], condition=models.Q(is_superuser=True), name="account_superusers"
            ),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                fields=["username"], condition=models.Q(is_active=False), name="account_inactive"
            ),
        ),
        migrations.RunPython(create, drop),
    ]
