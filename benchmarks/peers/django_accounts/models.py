"""How are users and groups kept for django-scim2?"""

from django.contrib.auth.models import AbstractUser
from django.db import models
from django_scim.models import AbstractSCIMGroupMixin, AbstractSCIMUserMixin


class Group(AbstractSCIMGroupMixin):  # type: ignore[misc]
    """A group, whose members are in `user_set`."""

    name = models.CharField(max_length=255)


class User(AbstractSCIMUserMixin, AbstractUser):  # type: ignore[misc]
    """A user with the attributes that django-scim2 has by itself."""

    scim_groups = models.ManyToManyField(Group, related_name="user_set")
