#!/bin/sh
# Once, when the database is made: the role of the servers, which owns nothing. `coatcheck migrate --grant` gives it
# its rights. The password goes through standard input, so that no process list shows it.
set -eu
printf "CREATE ROLE coatcheck_server LOGIN PASSWORD '%s';\n" "$(cat /run/coatcheck/server_password)" |
    psql --no-psqlrc --set ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname "$POSTGRES_DB"
