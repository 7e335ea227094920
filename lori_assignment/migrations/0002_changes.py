from django.db import migrations

# Its first number is taken, so that the next one is another: a sequence that nobody has asked says what it
# will say first.
MAKE = "CREATE SEQUENCE lori_changes; SELECT nextval('lori_changes')"
DROP = "DROP SEQUENCE lori_changes"


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(MAKE)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(DROP)


class Migration(migrations.Migration):
    """A sequence that only earlier releases read. The release after the one that stopped drops it."""

    dependencies = [("lori_assignment", "0001_kept_answers")]

    operations = [migrations.RunPython(make, drop)]
