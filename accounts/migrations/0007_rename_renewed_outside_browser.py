"""Renames a field. Its column keeps its name, because the previous release still serves meanwhile."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_lists_of_accounts")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameField("TokenFamily", "left_its_browser", "renewed_outside_browser"),
                migrations.AlterField(
                    "TokenFamily",
                    "renewed_outside_browser",
                    models.BooleanField(db_column="left_its_browser", default=False),
                ),
            ]
        )
    ]
