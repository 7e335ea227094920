"""Adds the reasons for voiding a rental, or recording it or its return later, and the limits it did not keep.

All are nullable, so that the version before can insert rows, and SQLite adds them without copying the table,
which would lose its triggers.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rentals", "0012_copy_is_with_one_member")]

    operations = [
        migrations.AddField(
            model_name="rental",
            name="reason",
            field=models.CharField(
                blank=True,
                help_text="Why the rental was recorded after it began.",
                max_length=500,
                null=True,
                verbose_name="reason",
            ),
        ),
        migrations.AddField(
            model_name="rental",
            name="return_reason",
            field=models.CharField(
                blank=True,
                help_text="Why the return was recorded later.",
                max_length=500,
                null=True,
                verbose_name="reason of the return",
            ),
        ),
        migrations.AddField(
            model_name="rental",
            name="void_reason",
            field=models.CharField(blank=True, max_length=500, null=True, verbose_name="reason for voiding"),
        ),
        migrations.AddField(
            model_name="rental",
            name="limits_broken",
            field=models.JSONField(
                blank=True,
                help_text="The limits that would have refused the rental, had it not already begun.",
                null=True,
                verbose_name="limits not kept",
            ),
        ),
    ]
