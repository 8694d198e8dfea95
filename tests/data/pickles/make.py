#!/usr/bin/env python3
"""Writes the PyTorch files of this folder without PyTorch: Python's own pickle of stand-in classes, so that the bytes are those torch.save writes.

Numbers are 0, 1, 2, … throughout. Run it in this folder.

float8.pt alone is PyTorch's own (2.15), whose types of 8 bits have no storage class:
    e4m3 = torch.tensor([[0.25, -0.5], [1.5, 448.0]]).to(torch.float8_e4m3fn)
    torch.save({"state_dict": {"plain.weight": torch.tensor([1.0, -448.0]).to(torch.float8_e4m3fn), "e4m3.weight": e4m3,
        "e4m3.scale_weight": torch.tensor([2.0, 3.0]), "e5m2.weight": torch.tensor([1.0, -57344.0]).to(torch.float8_e5m2),
        "e5m2.weight_scale": torch.tensor(0.25), "e5m2.input_scale": torch.tensor(1.0),
        "scaled_fp8": torch.empty(0, dtype=torch.float8_e5m2)}}, "float8.pt")
So is sparse.pt, whose tensors of other layouts are made by functions of their own:
    torch.save({"a": torch.eye(2).to_sparse(), "b": torch.ones(2)}, "sparse.pt")
"""
import argparse
import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

FORMATS = {"Float": "f", "Double": "d", "Half": "e", "Long": "q", "Int": "i", "Short": "h", "Char": "b", "Byte": "B", "Bool": "?", "BFloat16": None, "ComplexFloat": None}


def module(name):
    made = types.ModuleType(name)
    sys.modules[name] = made
    parent, _, leaf = name.rpartition(".")
    if parent:
        setattr(sys.modules.get(parent) or module(parent), leaf, made)
    return made


def place(thing, where, name):
    thing.__module__, thing.__qualname__, thing.__name__ = where, name, name
    setattr(sys.modules.get(where) or module(where), name, thing)
    return thing


for where in ["torch", "torch._utils", "torch._tensor", "torch.nn", "torch.nn.parameter", "pytorch_lightning", "pytorch_lightning.callbacks"]:
    sys.modules.get(where) or module(where)
STORAGES = {kind: place(type("", (), {}), "torch", kind + "Storage") for kind in FORMATS}
REBUILD = place(lambda *a: None, "torch._utils", "_rebuild_tensor_v2")
PARAMETER = place(lambda *a: None, "torch._utils", "_rebuild_parameter")
FROM_TYPE = place(lambda *a: None, "torch._tensor", "_rebuild_from_type_v2")
PARAMETER_CLASS = place(type("", (), {}), "torch.nn.parameter", "Parameter")
CALLBACK = place(type("", (), {}), "pytorch_lightning.callbacks", "ModelCheckpoint")


class Storage:
    def __init__(self, kind, count, key, view=None):
        self.kind, self.count, self.key, self.view = kind, count, key, view

    def bytes(self):
        if self.kind == "BFloat16":
            return b"".join(struct.pack("<f", i)[2:] for i in range(self.count))
        if self.kind == "ComplexFloat":
            return b"".join(struct.pack("<ff", i, 0) for i in range(self.count))
        return struct.pack(f"<{self.count}{FORMATS[self.kind]}", *(range(self.count) if self.kind != "Bool" else [i % 2 for i in range(self.count)]))


class Tensor:
    def __init__(self, storage, shape, strides=None, offset=0):
        if strides is None:
            strides, step = [], 1
            for side in reversed(shape):
                strides.insert(0, step)
                step *= side
        self.storage, self.shape, self.strides, self.offset = storage, tuple(shape), tuple(strides), offset

    def arguments(self):
        return (self.storage, self.offset, self.shape, self.strides, False, OrderedDict())

    def __reduce_ex__(self, _):
        return REBUILD, self.arguments()


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce_ex__(self, _):
        return self.call


class Pickler(pickle._Pickler):
    def __init__(self, *a, old=False):
        super().__init__(*a)
        self.old, self.seen = old, {}

    def persistent_id(self, thing):
        if not isinstance(thing, Storage):
            return None
        self.seen[thing.key] = thing
        described = ("storage", STORAGES[thing.kind], thing.key, "cpu", thing.count)
        return (*described, thing.view) if self.old else described


def dump(thing, protocol=2, **options):
    out = io.BytesIO()
    pickler = Pickler(out, protocol, **options)
    pickler.dump(thing)
    return out.getvalue(), pickler.seen


def save(name, thing, protocol=2, compression=zipfile.ZIP_STORED, leave_out=(), order="little"):
    data, storages = dump(thing, protocol)
    with zipfile.ZipFile(name + ".pt", "w", compression) as archive:
        write = lambda entry, content: archive.writestr(zipfile.ZipInfo(f"{name}/{entry}"), content, compression)
        write("data.pkl", data)
        write("byteorder", order)
        for key, storage in storages.items():
            if key not in leave_out:
                write(f"data/{key}", storage.bytes())
        write("version", "3\n")


def save_old(name, thing, cut=None):
    data, storages = dump(thing, old=True)
    out = b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}))
    out += data + pickle.dumps(sorted(storages), 2)
    for key in sorted(storages):
        out += struct.pack("<q", storages[key].count) + storages[key].bytes()
    with open(name + ".pt", "wb") as file:
        file.write(out[:cut])


def tensor(kind, shape, key):
    count = 1
    for side in shape:
        count *= side
    return Tensor(Storage(kind, count, key), shape)


class StateDict(OrderedDict):
    """Pickled as torch's: an OrderedDict with the attribute _metadata."""

    def __reduce__(self):
        return OrderedDict, (), {"_metadata": OrderedDict([("", {"version": 1})])}, None, iter(self.items())


weights = lambda: StateDict([("layer.weight", tensor("Float", (2, 3), "0")), ("layer.bias", tensor("Float", (2,), "1"))])
callback = CALLBACK()
callback.best = {"score": 0.5, "tensor": tensor("Float", (1,), "9")}

save("plain", weights())
save("lightning", {
    "epoch": 3, "loss": 0.25, "pytorch-lightning_version": "1.4.2", "callbacks": {CALLBACK: callback, "again": callback},
    "hyper_parameters": argparse.Namespace(rate=1e-4, betas=(0.9, 0.999), names={"a", "b"}, raw=b"\x00\xff"), "counts": collections.Counter(a=2),
    "optimizer_states": [{"state": {0: {"step": 7, "exp_avg": tensor("Double", (2, 3), "8")}}, "param_groups": [{"params": [0, 1]}]}],
    "state_dict": weights(),
})
save("model_key", {"model": weights(), "optimizer": {"state": {0: {"exp_avg": tensor("Float", (2, 3), "8")}}}})
save("empty_state", {"state_dict": {}, "inner": {"list": [tensor("Float", (2,), "0"), {7: tensor("Float", (3,), "1")}]}})
save("protocol4", weights(), protocol=4)
shared = Storage("Float", 12, "s")
save("layouts", {
    "transposed": Tensor(shared, (4, 3), (1, 4)), "slice": Tensor(shared, (2, 2), (4, 1), 5), "scalar": Tensor(shared, (), (), 11), "none": Tensor(shared, (0, 3), (3, 1)),
    "repeated": Tensor(shared, (2, 3), (0, 1)), "parameter": Call(PARAMETER, Tensor(shared, (3,)), True, OrderedDict()),
    "typed": Call(FROM_TYPE, REBUILD, PARAMETER_CLASS, Tensor(shared, (3,)).arguments(), {"note": 1}),
})
save("types", {kind: tensor(kind, (3,), kind) for kind in FORMATS})
save_old("old", {"state_dict": {**weights(), "part": Tensor(Storage("Float", 2, "1", ("v", 1, 1)), (1,))}})
save_old("old_types", {kind: tensor(kind, (3,), kind) for kind in FORMATS if kind != "ComplexFloat"})

save("too_large_shape", {"weight": Tensor(Storage("Float", 6, "0"), (2, 4))})
save("too_large_stride", {"weight": Tensor(Storage("Float", 6, "0"), (2, 3), (4, 1))})
save("too_large_offset", {"weight": Tensor(Storage("Float", 6, "0"), (2, 3), (3, 1), 1)})
save("uncountable_shape", {"weight": Tensor(Storage("Float", 6, "0"), (1 << 40, 1 << 40, 0), (1, 1, 1))})
save("huge_repeat", {"weight": Tensor(Storage("Float", 6, "0"), (1 << 40,), (0,))})
save("negative_offset", {"weight": Tensor(Storage("Float", 6, "0"), (2, 3), (3, 1), -1)})
save("negative_stride", {"weight": Tensor(Storage("Float", 6, "0"), (2, 3), (-3, 1), 3)})
save("negative_shape", {"weight": Tensor(Storage("Float", 6, "0"), (-2, -3), (3, 1))})
save("not_described", {"weight": Call(REBUILD, "no storage", 0, (2,), (1,), False, OrderedDict())})
save("missing_storage", weights(), leave_out=("1",))
save("compressed", weights(), compression=zipfile.ZIP_DEFLATED)
save("big_endian", weights(), order="big")
save("runs_code", {"weight": Call(os.system, "echo this must never be run > ran")})
save("whole_module", Call(CALLBACK, {"weight": tensor("Float", (2,), "0")}))
save("no_tensors", {"epoch": 3, "names": ["a"]})
circle = {}
circle["self"] = circle
save("circle", circle)
bomb = []
for _ in range(60):
    bomb = [bomb, bomb]
save("shared_lists", {"bomb": bomb, "weight": tensor("Float", (2,), "0")})
save_old("old_cut", weights(), cut=-5)


def raw(name, data):
    with zipfile.ZipFile(name + ".pt", "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{name}/data.pkl"), data)


raw("pickle_long_text", b"\x80\x02\x8d" + struct.pack("<Q", 1 << 60) + b"abc.")
raw("pickle_cut", dump(weights())[0][:-20])
raw("pickle_empty_stack", b"\x80\x02R.")
raw("pickle_no_mark", b"\x80\x02]u.")
raw("pickle_unknown_memo", b"\x80\x02j\xff\xff\xff\xff.")
raw("pickle_odd_items", b"\x80\x02}(K\x01u.")
raw("pickle_under_mark", b"\x80\x02](0a.")
raw("pickle_deep", b"\x80\x02)" + b"\x85" * 50_000 + b".")
with open("not_torch.pt", "wb") as file:
    file.write(b"this is no checkpoint")
with zipfile.ZipFile("other_zip.pt", "w") as archive:
    archive.writestr(zipfile.ZipInfo("readme.txt"), "hello")
