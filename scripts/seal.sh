#!/usr/bin/env bash
# Compares migrations/*.sql with the SHA-256 of each in migrations/checksums. With --renew it writes the
# list, for migrations that no release contains: a service refuses a database that has applied a
# different version of a migration.
set -euo pipefail
cd "$(dirname "$0")/../migrations"

export LC_ALL=C
if command -v sha256sum >/dev/null; then
    checksums=$(sha256sum -- *.sql)
else
    checksums=$(shasum -a 256 -- *.sql)
fi

case ${1:-} in
    --renew)
        printf '%s\n' "$checksums" >checksums
        ;;
    '')
        if ! difference=$(diff checksums - <<<"$checksums" 2>&1); then
            printf 'seal.sh: %s\n' 'migrations differ from migrations/checksums' "$difference" \
                'undo changes of released migrations; for others run: make seal' >&2
            exit 1
        fi
        ;;
    *)
        printf 'usage: scripts/seal.sh [--renew]\n' >&2
        exit 2
        ;;
esac
