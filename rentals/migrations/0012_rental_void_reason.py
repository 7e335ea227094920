"""Adds the reason why a rental was voided.

In SQL, because Django would re-create the table on SQLite and lose its triggers. The default stays in the
database: the previous version inserts rentals without the column.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rentals", "0011_policy_has_upper_bounds")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE rentals_rental ADD COLUMN void_reason varchar(500) DEFAULT '' NOT NULL",
            "ALTER TABLE rentals_rental DROP COLUMN void_reason",
            state_operations=[
                migrations.AddField(
                    model_name="rental",
                    name="void_reason",
                    field=models.CharField(
                        blank=True, db_default="", max_length=500, verbose_name="reason for voiding"
                    ),
                ),
            ],
        ),
    ]
