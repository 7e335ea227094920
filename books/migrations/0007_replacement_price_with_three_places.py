"""Stores replacement prices with three decimal places, for currencies such as KWD.

Until the previous version has ended, it shows a third decimal place. On SQLite the type of the column is the
same for every number of places.
"""

from django.db import migrations, models


def widen(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE books_copy ALTER replacement_price TYPE numeric(10, 3)")


def narrow(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE books_copy ALTER replacement_price TYPE numeric(8, 2)")


class Migration(migrations.Migration):
    dependencies = [("books", "0006_missing_copies")]

    operations = [
        migrations.RunPython(widen, narrow),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    "copy",
                    "replacement_price",
                    models.DecimalField(
                        "replacement price",
                        blank=True,
                        null=True,
                        max_digits=10,
                        decimal_places=3,
                        help_text=(
                            "The most a rental can cost, including late fees. Leave blank for no limit."
                        ),
                    ),
                )
            ]
        ),
    ]
