#!/bin/sh
# Other people's libraries verify a signed report: Python's securesystemslib the envelope, npm's @sigstore/verify the bundle;
# in-toto's own package says whether the statements are valid by its published schemas.
#
#   tests/interop/verify.sh REPORT_FOLDER PUBLIC_KEY.pem WORK_FOLDER
#
# Installs them from their registries into WORK_FOLDER. Exit 0: all verify, and all refuse what was changed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
report=$(cd "$1" && pwd)
key=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
mkdir -p "$3"
cd "$3"
python3 -m venv venv
venv/bin/pip install --quiet 'securesystemslib[crypto]==1.6.0' 'in-toto-attestation==0.9.3'
[ -f package.json ] || echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @sigstore/bundle@4 @sigstore/verify@3
venv/bin/python "$here/envelope.py" "$report" "$key"
venv/bin/python "$here/intoto.py" "$report"
cp "$here/bundle.js" bundle.js
node bundle.js "$report" "$key"
