#!/bin/sh
# Make each secret once, readable by the one user that needs it. Run by compose.yaml's service `secrets`.
set -eu
umask 077
S=${1:-/secrets}

random() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
keep() { # keep USER FILE: what is on standard input, unless it was made before
    if [ ! -s "$2" ]; then
        cat >"$2.new"
        mv "$2.new" "$2"
    fi
    chown "$1:$1" "$2"
    chmod 400 "$2"
}

owner=$(cat "$S/postgres/owner_password" 2>/dev/null || random)
server=$(cat "$S/postgres/server_password" 2>/dev/null || random)
redis=$(cat "$S/redis/password" 2>/dev/null || random)

printf %s "$owner" | keep 999 "$S/postgres/owner_password"
printf %s "$server" | keep 999 "$S/postgres/server_password"
printf %s "$redis" | keep 999 "$S/redis/password"
printf 'bind *\nrequirepass %s\ndir /data\nappendonly yes\nappendfsync everysec\nmaxmemory 192mb\nmaxmemory-policy noeviction\n' \
    "$redis" | keep 999 "$S/redis/redis.conf"
printf 'postgresql://coatcheck:%s@postgres/coatcheck' "$owner" | keep 10001 "$S/owner/database_url"
printf 'postgresql://coatcheck_server:%s@postgres/coatcheck' "$server" | keep 10001 "$S/api/database_url"
printf 'redis://:%s@redis/0' "$redis" | keep 10001 "$S/api/redis_url"
random | keep 10001 "$S/api/secret_key"

for one in postgres:999 redis:999 owner:10001 api:10001 outbox:10001 proxy:10002; do
    chown "${one#*:}:${one#*:}" "$S/${one%:*}"
    chmod 700 "$S/${one%:*}"
done
echo "The secrets are in place."
