#!/usr/bin/env bash
# Validates what `counterweight audit --format sarif` prints against the published SARIF 2.1.0 schema (carried by Microsoft's
# npm package) with Python's jsonschema. Skips, and says why, where either cannot be had.
# Usage: tests/interop/sarif.sh LOG.sarif...
set -euo pipefail
skip() { echo "skipped: $*"; exit 0; }
[ $# -gt 0 ] || { echo "usage: $0 LOG.sarif..." >&2; exit 2; }
command -v npm >/dev/null || skip "npm is not there"
command -v python3 >/dev/null || skip "python3 is not there"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack @microsoft/jest-sarif@1.0.0-beta.0 --silent >/dev/null 2>&1) || skip "the npm registry cannot be reached"
tar -xzf "$work"/*.tgz -C "$work"
python3 -c 'import jsonschema' 2>/dev/null || {
  python3 -m venv "$work/venv" 2>/dev/null && "$work/venv/bin/pip" install --quiet jsonschema 2>/dev/null || skip "jsonschema cannot be installed"
  PATH="$work/venv/bin:$PATH"
}
python3 - "$work/package/lib/schemas/sarif-2.1.0-rtm.5.json" "$@" <<'PYTHON'
import json
import sys

import jsonschema

schema = json.load(open(sys.argv[1]))
validator = jsonschema.validators.validator_for(schema)(schema)
bad = 0
for path in sys.argv[2:]:
    errors = sorted(validator.iter_errors(json.load(open(path))), key=lambda error: list(error.absolute_path))
    for error in errors[:20]:
        print(f"{path}: {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}")
    print(f"{path}: {'invalid' if errors else 'valid'} by {schema['$id'] if '$id' in schema else schema.get('id')}")
    bad += bool(errors)
sys.exit(bad > 0)
PYTHON
