"""djangorestframework-simplejwt and django-allauth headless, on PostgreSQL, in one Django project of one file.

DATABASE=postgresql://... SECRET=... ROTATE=1 gunicorn django_app:application
ROTATE makes simplejwt rotate refresh tokens and blacklist the old ones; without it a refresh token stays what it is.
"""

import os
import sys
from datetime import timedelta
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher

_DATABASE = urlsplit(os.environ["DATABASE"])
_ROTATE = bool(os.environ.get("ROTATE"))


class Hasher(Argon2PasswordHasher):
    """The cost that Coatcheck has."""

    memory_cost, time_cost, parallelism = 19_456, 2, 1


settings.configure(
    SECRET_KEY=os.environ["SECRET"],
    ALLOWED_HOSTS=["localhost"],
    ROOT_URLCONF="django_app",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["django_app.Hasher"],
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "allauth",
        "allauth.account",
        "allauth.headless",
        "rest_framework",
        "rest_framework_simplejwt.token_blacklist",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": _DATABASE.hostname,
            "PORT": _DATABASE.port,
            "USER": _DATABASE.username,
            "NAME": _DATABASE.path[1:],
            "OPTIONS": {"pool": {"min_size": 10, "max_size": 20}},
        }
    },
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    ACCOUNT_LOGIN_METHODS={"email"},
    ACCOUNT_EMAIL_VERIFICATION="none",
    ACCOUNT_RATE_LIMITS=False,
    HEADLESS_ONLY=True,
    REST_FRAMEWORK={
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    },
    SIMPLE_JWT={
        "ACCESS_TOKEN_LIFETIME": timedelta(minutes=10),
        "ROTATE_REFRESH_TOKENS": _ROTATE,
        "BLACKLIST_AFTER_ROTATION": _ROTATE,
    },
)
django.setup()

from allauth.headless.contrib.rest_framework.authentication import XSessionTokenAuthentication  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import include, path  # noqa: E402
from rest_framework.permissions import IsAuthenticated  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402
from rest_framework_simplejwt.authentication import JWTAuthentication, JWTStatelessUserAuthentication  # noqa: E402
from rest_framework_simplejwt.views import (  # noqa: E402
    TokenBlacklistView,
    TokenObtainPairView,
    TokenRefreshView,
)


class Current(APIView):
    """Who is calling."""

    permission_classes = (IsAuthenticated,)

    def get(self, request):
        return Response({"account_id": str(request.user.id), "roles": []})


urlpatterns = [
    path("jwt/current", Current.as_view(authentication_classes=[JWTAuthentication])),
    path("stateless/current", Current.as_view(authentication_classes=[JWTStatelessUserAuthentication])),
    path("allauth/current", Current.as_view(authentication_classes=[XSessionTokenAuthentication])),
    path("token", TokenObtainPairView.as_view()),
    path("token/refresh", TokenRefreshView.as_view()),
    path("token/blacklist", TokenBlacklistView.as_view()),
    path("_allauth/", include("allauth.headless.urls")),
]


def prepare() -> None:
    """Tables, and one person."""
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    name, password = sys.argv[1:]
    User.objects.create_user(name, name, password)


if __name__ == "__main__":
    sys.modules["django_app"] = sys.modules["__main__"]
    prepare()
else:
    application = get_wsgi_application()
