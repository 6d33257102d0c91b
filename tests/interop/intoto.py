"""The statements of a signed report against in-toto's published definitions: the protobuf schemas and validators of the
package in-toto-attestation.

    python intoto.py REPORT_FOLDER

Exit 0: every statement parses without an unknown field and is valid, and so is the test result's predicate.
"""
import base64
import copy
import importlib.metadata
import json
import pathlib
import sys

from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"


def check(statement):
    # A field that the schema does not have makes this fail.
    message = json_format.ParseDict(statement, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    if statement["predicateType"] == TEST_RESULT:
        result = json_format.ParseDict(statement["predicate"], test_result_pb2.TestResult())
        assert result.result in ("PASSED", "WARNED", "FAILED"), result.result


def refused(statement):
    try:
        check(statement)
    except Exception:
        return True
    return False


version = importlib.metadata.version("in-toto-attestation")
lines = pathlib.Path(sys.argv[1], "attestation.intoto.jsonl").read_text().splitlines()
for line in lines:
    statement = json.loads(base64.b64decode(json.loads(line)["payload"]))
    check(statement)
    for change in ({"_type": "https://in-toto.io/Statement/v9"}, {"subject": []}, {"extra": 1}):
        assert refused({**copy.deepcopy(statement), **change}), f"{change} passed"
    print(f"in-toto-attestation {version}: {statement['predicateType']} is valid")
