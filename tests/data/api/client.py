"""A client that knows no Rust: stubs from the .proto, health from what reflection tells.

client.py WORK socket PATH            all of it, over the unix socket of one director
client.py WORK tls HOST:PORT NAME PEM the same checks of health and reflection, over mutual TLS
client.py WORK stranger HOST:PORT     without a certificate: each call is refused
client.py WORK health PATH STATUS     waits until health says STATUS
client.py WORK member HOST:PORT NAME PEM COMMAND
                                      proposes a command of the log, as a member does
"""

import json
import sys
import threading

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

WORK = sys.argv[1]
sys.path.insert(0, WORK)
import control_pb2
import control_pb2_grpc
import peer_pb2
import peer_pb2_grpc
import reflection_pb2
import reflection_pb2_grpc

# No call of a healthy cluster takes so long.
WITHIN = 20
CONTROL = "leasehold.control.v1.Control"


def reflect(channel, **question):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(**question)
    for answer in stub.ServerReflectionInfo(iter([request]), timeout=WITHIN):
        return answer
    raise AssertionError("no answer")


def services(channel):
    answer = reflect(channel, list_services="")
    return sorted(one.name for one in answer.list_services_response.service)


def described(channel, symbol):
    """The messages of the file that has this symbol, made of what the server tells."""
    answer = reflect(channel, file_containing_symbol=symbol)
    files = answer.file_descriptor_response.file_descriptor_proto
    assert files, answer
    pool = descriptor_pool.DescriptorPool()
    for data in reversed(files):
        pool.Add(descriptor_pb2.FileDescriptorProto.FromString(data))
    return pool


def message(pool, name):
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


class Health:
    def __init__(self, channel):
        pool = described(channel, "grpc.health.v1.Health")
        self.request = message(pool, "grpc.health.v1.HealthCheckRequest")
        self.response = message(pool, "grpc.health.v1.HealthCheckResponse")
        path = "/grpc.health.v1.Health/"
        ways = {
            "request_serializer": self.request.SerializeToString,
            "response_deserializer": self.response.FromString,
        }
        self.check_call = channel.unary_unary(path + "Check", **ways)
        self.watch_call = channel.unary_stream(path + "Watch", **ways)

    def name(self, answer):
        status = self.response.DESCRIPTOR.fields_by_name["status"].enum_type
        return status.values_by_number[answer.status].name

    def check(self, service):
        return self.name(self.check_call(self.request(service=service), timeout=WITHIN))

    def wait(self, service, wanted):
        for answer in self.watch_call(self.request(service=service), timeout=WITHIN):
            if self.name(answer) == wanted:
                return
        raise AssertionError("it ended before " + wanted)


def standard(channel):
    names = services(channel)
    assert names == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        CONTROL,
    ], names
    told = described(channel, CONTROL).FindServiceByName(CONTROL)
    ours = control_pb2.DESCRIPTOR.services_by_name["Control"]
    assert [one.name for one in told.methods] == [one.name for one in ours.methods]
    health = Health(channel)
    health.wait(CONTROL, "SERVING")
    assert health.check("") == "SERVING"
    try:
        health.check("nobody")
        raise AssertionError("it knows nobody")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
    print("health and reflection:", ", ".join(names))


DOCUMENT = """
[instance.VI_1]
virtual_router_id = 51
interface = "eth0"
virtual_ipaddress = ["192.168.1.100/24"]

[instance.VI_1.director.ds1]
priority = %d
"""


NOTHING = (
    "the document configures no instance, and would take every VIP away: "
    "if that is meant, set allow_empty"
)


def ask(call, request):
    return call(request, timeout=WITHIN)


def refused(call, request, code):
    try:
        answer = ask(call, request)
    except grpc.RpcError as error:
        assert error.code() == code, error
        return error.details()
    raise AssertionError("it was not refused: %s" % answer)


def conversation(channel):
    control = control_pb2_grpc.ControlStub(channel)
    status = json.loads(ask(control.Status, control_pb2.StatusRequest()).json)
    assert len(status["nodes"]) == 3, status
    print("status of cluster", status["cluster"]["id"])

    before = ask(control.Export, control_pb2.ExportRequest())
    first = control_pb2.ApplyRequest(toml=DOCUMENT % 100, if_revision=before.revision)
    applied = ask(control.Apply, first)
    assert applied.changed and applied.revision > before.revision, applied
    late = control_pb2.ApplyRequest(toml=DOCUMENT % 50, if_revision=before.revision)
    why = refused(control.Apply, late, grpc.StatusCode.ABORTED)
    assert "revision %d" % applied.revision in why and "uid 0" in why, why
    print("a conflict:", why)
    would = control_pb2.ApplyRequest(toml=DOCUMENT % 50, dry_run=True)
    answer = ask(control.Apply, would)
    assert answer.changed and answer.revision == applied.revision, answer
    again = ask(control.Apply, control_pb2.ApplyRequest(toml=DOCUMENT % 100))
    assert not again.changed, again

    bad = control_pb2.ApplyRequest(toml="[instance.VI_1]\npriority = 999\n")
    why = refused(control.Apply, bad, grpc.StatusCode.INVALID_ARGUMENT)
    assert "2:12" in why and "virtual_router_id is missing" in why, why
    for nothing in (control_pb2.ApplyRequest(), control_pb2.ApplyRequest(dry_run=True)):
        why = refused(control.Apply, nothing, grpc.StatusCode.INVALID_ARGUMENT)
        assert why == NOTHING, why
    meant = control_pb2.ApplyRequest(allow_empty=True, dry_run=True)
    answer = ask(control.Apply, meant)
    assert answer.changed and "- instance VI_1" in answer.plan_text, answer
    none = control_pb2.ExplainRequest(instance="VI_9")
    why = refused(control.Explain, none, grpc.StatusCode.NOT_FOUND)
    assert "VI_1" in why, why
    after = ask(control.Export, control_pb2.ExportRequest())
    assert "priority = 100" in after.toml and after.revision == applied.revision, after
    print("revision", after.revision)


def main():
    way, where = sys.argv[2], sys.argv[3]
    if way in ("tls", "member"):
        name, bundle = sys.argv[4], open(sys.argv[5], "rb").read()
        parts = split(bundle)
        credentials = grpc.ssl_channel_credentials(parts["ca"], parts["key"], parts["own"])
        options = [("grpc.ssl_target_name_override", name)]
        channel = grpc.secure_channel(where, credentials, options)
        if way == "tls":
            standard(channel)
        else:
            propose(channel, sys.argv[6].encode())
    elif way == "stranger":
        name, bundle = sys.argv[4], open(sys.argv[5], "rb").read()
        credentials = grpc.ssl_channel_credentials(split(bundle)["ca"])
        options = [("grpc.ssl_target_name_override", name)]
        channel = grpc.secure_channel(where, credentials, options)
        refused_all(channel)
    else:
        channel = grpc.insecure_channel("unix:" + where)
        if way == "health":
            Health(channel).wait(CONTROL, sys.argv[4])
        else:
            standard(channel)
            conversation(channel)
    print("done")


def propose(channel, command):
    stub = peer_pb2_grpc.LeaseStub(channel)
    answer = stub.Propose(peer_pb2.ProposeRequest(command=command), timeout=WITHIN)
    assert b'"changed":true' in answer.outcome, answer


def refused_all(channel):
    unauthenticated = grpc.StatusCode.UNAUTHENTICATED
    control = control_pb2_grpc.ControlStub(channel)
    print(refused(control.Status, control_pb2.StatusRequest(), unauthenticated))
    plain = {"request_serializer": bytes, "response_deserializer": bytes}
    check = channel.unary_unary("/grpc.health.v1.Health/Check", **plain)
    refused(check, b"", unauthenticated)
    try:
        services(channel)
    except grpc.RpcError as error:
        assert error.code() == unauthenticated, error
        return
    raise AssertionError("reflection is open to strangers")


def split(bundle):
    """The certificate, the key and the CA of a client's file, told apart by their order."""
    blocks, block = [], []
    for line in bundle.splitlines(keepends=True):
        block.append(line)
        if line.startswith(b"-----END"):
            blocks.append(b"".join(block))
            block = []
    keys = [one for one in blocks if b"PRIVATE KEY" in one]
    own, ca = [one for one in blocks if b"PRIVATE KEY" not in one]
    return {"own": own, "key": keys[0], "ca": ca}


# A call that no timeout ends must not hang the test.
guard = threading.Timer(100, lambda: __import__("os")._exit(3))
guard.daemon = True
guard.start()
main()
