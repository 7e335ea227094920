"""Signals to other apps, which may import this one but not the other way round."""

from django.dispatch import Signal

# Sent with `user`, in the transaction of the change: their password is new or gone, or they were signed out
# everywhere. Receivers end whatever opens the account, or shows parts of it, without the password.
access_revoked = Signal()
