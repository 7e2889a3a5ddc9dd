"""Settings: where they come from, and that a mistake stops the start with one sentence that tells no secret."""

import stat
from pathlib import Path

import pytest

from coatcheck import settings
from coatcheck.settings import Settings, SettingsError
from tests.house import SECRET

OTHER_SECRET = "8f2d61b0c97a4e35" * 3
POSTGRES = {"COATCHECK_DATABASE_URL": "postgresql://ada:zq-password@db.test/coatcheck"}


def load(**given: str) -> Settings:
    return settings.load(
        {f"COATCHECK_{name.upper()}": value for name, value in ({"secret_key": SECRET} | given).items()}
    )


def mistake(**given: str) -> str:
    with pytest.raises(SettingsError) as error:
        load(**given)
    return str(error.value)


# -- where they come from ----------------------------------------------------------------------------------------------


def test_settings_come_from_the_environment() -> None:
    """A variable sets the field of its name; a blank one counts as unset."""
    found = load(access_ttl="300", insecure_cookies="1", audience="", log_level="debug")
    assert (found.access_ttl, found.insecure_cookies, found.audience, found.log_level) == (300, True, None, "debug")


def test_settings_come_from_a_dotenv_file(tmp_path: Path) -> None:
    """ENV_FILE names a file of variables; the environment wins over it."""
    file = tmp_path / "coatcheck.env"
    file.write_text('# ours\nCOATCHECK_ACCESS_TTL=300\nCOATCHECK_IDLE_TTL="7200"\nOTHER=1\n')
    found = load(env_file=str(file), access_ttl="120")
    assert (found.access_ttl, found.idle_ttl) == (120, 7200)
    assert "ENV_FILE" in mistake(env_file=str(tmp_path / "missing"))


def test_settings_come_from_mounted_files(tmp_path: Path) -> None:
    """`X_FILE` names a file that holds X, blanks around it trimmed; a file that can't be read stops the start."""
    (tmp_path / "secret").write_text(f"\n{OTHER_SECRET}\n")
    (tmp_path / "ttl").write_text("77\n")
    found = settings.load(
        {"COATCHECK_SECRET_KEY_FILE": str(tmp_path / "secret"), "COATCHECK_ACCESS_TTL_FILE": str(tmp_path / "ttl")}
    )
    assert (found.secret_key, found.access_ttl) == ([OTHER_SECRET], 77)
    assert "SECRET_KEY_FILE" in mistake(secret_key_file=str(tmp_path / "missing"))
    assert "SECRET_KEY_FILE" in mistake(secret_key_file=str(tmp_path))


def test_settings_of_lists_are_separated_by_commas() -> None:
    """Secrets, origins and networks are lists; blanks and empty parts do not count."""
    found = load(
        secret_key=f"{SECRET}, {OTHER_SECRET},",
        allowed_origins=" https://a.test ,https://b.test:8443/,",
        trusted_proxies="10.0.0.0/8, ::1/128",
    )
    assert found.secret_key == [SECRET, OTHER_SECRET]
    assert found.allowed_origins == ["https://a.test", "https://b.test:8443"]
    assert [str(one) for one in found.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


def test_settings_of_the_public_url_take_no_path() -> None:
    """PUBLIC_URL is an origin; a slash at its end does no harm, and the audience follows it."""
    found = load(public_url="https://auth.test/")
    assert (found.public_url, found.issuer, found.token_audience) == ("https://auth.test",) * 3
    assert load(public_url="https://auth.test", audience="api").token_audience == "api"


# -- mistakes ----------------------------------------------------------------------------------------------------------

WRONG = {
    "access_ttl": ["zq", "0", "-1", "1.5", "9" * 20],
    "race_window": ["zq", "0", "99999999999"],
    "database_pool": ["1", "zq"],
    "redis_prefix": ["ZQ", "!"],
    "public_url": ["zq", "ftp://zq.test", "https://zq.test/path", "https://zq@auth.test", "https://", "//zq"],
    "allowed_origins": ["*", "null", "https://zq.test/app", "https://a.test,zq", "https://*.zq.test/x"],
    "trusted_proxies": ["zq", "10.0.0.0/99", "10.0.0.1/8"],
    "limit_login": ["zq", "10", "10/zq", "-1/minute", "10/minute; 5/minute; 20/hour"],
    "limit_refresh": ["zq/minute"],
    "limit_mail": ["zq", "20/hour; 5/hour", "20/hour, 5/hour, 9/hour, 1000/hour"],
    "insecure_cookies": ["zq", "2"],
    "password_min_length": ["0", "65", "zq"],
    "breached_passwords_url": [
        "zq",
        "http://zq.test/range",
        "https://",
        "https://zq@a.test",
        "https://zq.test/range?x=1",
        "https://zq.test:99999",
    ],
    "log_level": ["zq", "verbose", "INFO"],
    "hash_workers": ["0"],
    "smtp_url": [
        "zq",
        "http://zq.test",
        "smtp://",
        "smtps://zq.test/path",
        "smtp://zq.test:99999",
        "smtp://zq.test?x=1",
    ],
    "mail_from": [
        "zq",
        "zq@",
        "a@b.test, c@d.test",
        "A\nBcc: <a@b.test>",
        "Ada <a@b.test> <c@d.test>",
        "<>",
        '"A" <a@b.test>',
    ],
    "mail_language": ["zq", "../en", "EN", "english"],
}


@pytest.mark.parametrize("name, value", [(name, value) for name, values in WRONG.items() for value in values])
def test_settings_name_the_variable_that_is_wrong(name: str, value: str) -> None:
    """A value that can't be used stops the start with one line that names its variable."""
    told = mistake(**{name: value})
    assert f"COATCHECK_{name.upper()}" in told
    assert "\n" not in told
    assert told.endswith(".")


@pytest.mark.parametrize(
    "name, value",
    [
        *(("redis_prefix", one) for one in ("a b", "a:", "z" * 33)),
        *(("log_level", one) for one in ("debugging", "info ")),
    ],
)
def test_settings_are_matched_as_a_whole(name: str, value: str) -> None:
    """A value that only holds a good one somewhere is wrong."""
    assert f"COATCHECK_{name.upper()}" in mistake(**{name: value})


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://one.test:7000,two.test",
        "rediss+cluster://me:pass@one.test,[::1]:7001?ssl_ca_certs=/ca.pem",
        "redis+sentinel://one.test:26379,two.test:26379/coats?db=1",
    ],
)
def test_settings_take_redis_in_several_servers(url: str) -> None:
    """Cluster and Sentinel are named by a list of hosts."""
    assert load(redis_url=url).redis_url == url


@pytest.mark.parametrize(
    "url, hint",
    [
        ("redis+cluster://one.test:zq,two.test", "port"),
        ("redis+cluster://one.test,,two.test", "hosts"),
        ("redis+sentinel://one.test:26379", "master"),
        ("redis+sentinel://one.test:26379/", "master"),
        ("unix+cluster://one.test", "redis://"),
        ("redis+swarm://one.test", "redis://"),
    ],
)
def test_settings_say_what_is_wrong_with_a_redis_of_several_servers(url: str, hint: str) -> None:
    """A list that can't be used stops the start, and the sentence says what is missing."""
    told = mistake(redis_url=url)
    assert "COATCHECK_REDIS_URL" in told
    assert hint in told


def test_settings_do_not_tell_a_secret() -> None:
    """Whatever is wrong, no message holds a secret or a password of a URL."""
    weak = "zq-short"
    told = [mistake(access_ttl="zq", secret_key=weak, redis_url="redis://:zq-password@r.test")]
    for root in (weak, "zq" * 40, f"{SECRET},{weak}", "zq-change-me-" * 4):
        with pytest.raises(SettingsError) as error:
            settings.check(load(secret_key=root))
        told.append(str(error.value))
    assert all("SECRET_KEY" in one for one in told[1:])
    assert not [one for one in told if "zq" in one or SECRET in one]


@pytest.mark.parametrize("root", ["", " ", ",", "\t, ,"])
def test_settings_want_a_secret_beside_postgresql(root: str, tmp_path: Path) -> None:
    """With PostgreSQL a missing or blank secret stops the start, and none is made up."""
    given = POSTGRES | {"COATCHECK_SECRET_KEY": root, "COATCHECK_DATA_DIR": str(tmp_path / "data")}
    with pytest.raises(SettingsError, match="Set COATCHECK_SECRET_KEY") as error:
        settings.load(given)
    assert "zq-password" not in str(error.value)
    assert not (tmp_path / "data").exists()


WEAK = [
    *(
        "short",
        "x" * 31,
        "a" * 64,
        "abab" * 16,
        "changeme" * 8,
        "please-change-me-please-change-me",
        "secret-example-" * 4,
    ),
    *(f"{SECRET},short", "your-secret-key-goes-here-0123456789"),
]


@pytest.mark.parametrize("root", WEAK)
def test_settings_refuse_a_weak_secret(root: str) -> None:
    """A short, repetitive or example secret is refused, and so is one anywhere in the list."""
    with pytest.raises(SettingsError, match="openssl rand"):
        settings.check(load(secret_key=root))


def test_settings_accept_a_real_secret() -> None:
    """Any random text of 32 characters and more will do."""
    for root in (SECRET, SECRET[:32], f"{SECRET},{OTHER_SECRET}", "Zm9vYmFyIHF1dXggY29ycmVjdCBob3JzZQ=="):
        assert settings.check(load(secret_key=root)) == []


def test_settings_make_one_secret_for_the_embedded_database(tmp_path: Path) -> None:
    """Without a secret the embedded database gets one, readable by its owner only, and keeps it."""
    given = {"COATCHECK_DATA_DIR": str(tmp_path / "data")}
    first, second = settings.load(given), settings.load(given)
    assert first.secret_key == second.secret_key
    assert settings.check(first) == []
    assert stat.S_IMODE((tmp_path / "data" / "secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert settings.load({"COATCHECK_DATA_DIR": str(tmp_path / "other")}).secret_key != first.secret_key


def test_settings_of_mail_want_a_sender() -> None:
    """A mail server without an address that mails come from stops the start; both forms of an address will do."""
    assert "COATCHECK_MAIL_FROM" in mistake(smtp_url="smtps://zq-name:zq-password@mail.test")
    assert "zq" not in mistake(smtp_url="smtps://zq-name:zq-password@mail.test")
    assert "zq" not in mistake(smtp_url="smtps://zq-name:zq-password@mail.test/path", mail_from="a@b.test")
    for sender in ("accounts@example.test", "Coatcheck at example <accounts@example.test>"):
        assert load(smtp_url="smtps://mail.test", mail_from=sender).mail_from == sender


# -- warnings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, value",
    [
        *(("race_window", "1"), ("access_ttl", "1"), ("idle_ttl", "60"), ("password_min_length", "8")),
        *(("limit_login", "off"), ("limit_register", "off"), ("limit_refresh", "off"), ("insecure_cookies", "1")),
    ],
)
def test_settings_warn_of_what_should_not_last(name: str, value: str) -> None:
    """Small lives, limits switched off and the like work, with a warning that names them."""
    [warning] = settings.check(load(**{name: value}))
    assert warning.startswith(f"COATCHECK_{name.upper()} ")
    assert warning.endswith(".")


def test_settings_by_default_warn_of_nothing() -> None:
    """Who sets nothing is warned of nothing."""
    assert settings.check(load()) == []
    assert settings.unknown({"COATCHECK_SECRET_KEY": SECRET, "PATH": "/bin", "COATCHECK_ENV_FILE": ""}) == []


def test_settings_warn_of_misspelt_names(tmp_path: Path) -> None:
    """A name with our prefix that is no setting is told, from the environment and from the dotenv file."""
    file = tmp_path / "env"
    file.write_text("COATCHECK_ALLOWED_ORIGIN=https://a.test\n")
    given = {"COATCHECK_ENV_FILE": str(file), "COATCHECK_ACCES_TTL": "5", "COATCHECK_ACCESS_TTL": "600"}
    assert settings.unknown(given) == ["COATCHECK_ALLOWED_ORIGIN", "COATCHECK_ACCES_TTL"]


def test_settings_of_several_workers_need_shared_stores() -> None:
    """More than one worker needs Redis and PostgreSQL: a sign-out has to reach each of them."""
    with pytest.raises(SettingsError, match="COATCHECK_REDIS_URL"):
        settings.check(load(), workers=2)
    with pytest.raises(SettingsError, match="COATCHECK_DATABASE_URL"):
        settings.check(load(redis_url="redis://r.test"), workers=2)
    shared = load(redis_url="redis://r.test", database_url="postgresql://db.test/x")
    assert settings.check(shared, workers=4) == []
