from django.db import migrations

# The first number is taken, because an unused sequence already reports it as its last value.
MAKE = "CREATE SEQUENCE lori_changes; SELECT nextval('lori_changes')"
DROP = "DROP SEQUENCE lori_changes"


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(MAKE)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(DROP)


class Migration(migrations.Migration):
    """Creates a sequence that only earlier releases read; a later release drops it."""

    dependencies = [("lori_assignment", "0001_kept_answers")]

    operations = [migrations.RunPython(make, drop)]
