"""Verifies attestation.dsse.json and both lines of attestation.intoto.jsonl with securesystemslib."""

import base64
import copy
import hashlib
import json
import sys

import securesystemslib
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

folder, path = sys.argv[1:]
with open(path, "rb") as file:
    public = load_pem_public_key(file.read())
der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
key = SSlibKey.from_crypto(public, keyid=base64.b64encode(hashlib.sha256(der).digest()).decode())


def envelopes():
    for name in ["attestation.dsse.json", "attestation.intoto.jsonl"]:
        with open(f"{folder}/{name}", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                yield f"{name}:{number}", json.loads(line)


for name, envelope in envelopes():
    Envelope.from_dict(copy.deepcopy(envelope)).verify([key], 1)
    changed = dict(envelope, payload=base64.b64encode(base64.b64decode(envelope["payload"]) + b" ").decode())
    try:
        Envelope.from_dict(copy.deepcopy(changed)).verify([key], 1)
    except VerificationError:
        pass
    else:
        sys.exit(f"{name}: a changed payload verifies")
    statement = json.loads(base64.b64decode(envelope["payload"]))
    print(f"securesystemslib {securesystemslib.__version__} ({key.keytype}): {name} verifies: {statement['predicateType']}")
