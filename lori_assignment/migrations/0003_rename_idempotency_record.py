"""Renames a model. The table keeps its name, because the previous version still uses it."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("lori_assignment", "0002_changes")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameModel("KeptAnswer", "IdempotencyRecord"),
                migrations.AlterModelTable("IdempotencyRecord", "lori_assignment_keptanswer"),
            ]
        )
    ]
