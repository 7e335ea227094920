"""Plain labels and messages. Changes nothing in the database."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("lori_assignment", "0003_rename_idempotency_record"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="idempotencyrecord",
            options={"verbose_name": "stored response", "verbose_name_plural": "stored responses"},
        ),
    ]
