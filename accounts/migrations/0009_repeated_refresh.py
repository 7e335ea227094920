"""Stores for which refresh token the current one was issued, and when. The previous release ignores both."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_plain_labels")]

    operations = [
        migrations.AddField(
            model_name="tokenfamily",
            name="previous",
            field=models.CharField(blank=True, db_default="", default="", max_length=32),
        ),
        migrations.AddField(
            model_name="tokenfamily",
            name="renewed_at",
            field=models.DateTimeField(null=True),
        ),
    ]
