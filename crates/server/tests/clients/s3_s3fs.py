"""Drives a server with s3fs, unmodified.

Needs ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and an empty folder WORK.
"""

import os
import random

import s3fs

MIB = 1 << 20

files = s3fs.S3FileSystem(
    key=os.environ["AWS_ACCESS_KEY_ID"],
    secret=os.environ["AWS_SECRET_ACCESS_KEY"],
    endpoint_url=os.environ["ENDPOINT"],
    client_kwargs={"region_name": "us-east-1"},
)
bucket = f"s3fs-{os.getpid()}"
files.mkdir(bucket)


def noise(size):
    return random.Random(size).randbytes(size)


for size in [0, 1, 70_000, 3 * MIB]:
    files.pipe_file(f"{bucket}/files/{size}", noise(size))
    assert files.cat_file(f"{bucket}/files/{size}") == noise(size), size
# In parts.
with files.open(f"{bucket}/large", "wb", block_size=5 * MIB) as file:
    for _ in range(13):
        file.write(noise(MIB))
with files.open(f"{bucket}/large", "rb") as file:
    file.seek(6 * MIB)
    assert file.read(1000) == noise(MIB)[:1000]
assert files.cat_file(f"{bucket}/large") == noise(MIB) * 13
assert files.cat_file(f"{bucket}/large", start=10, end=20) == noise(MIB)[10:20]

for key in ["ü ä/+&%.bin", "Icon\r", "tab\there"]:
    files.pipe_file(f"{bucket}/odd/{key}", key.encode())
    assert files.cat_file(f"{bucket}/odd/{key}") == key.encode()
files.invalidate_cache()
assert sorted(files.find(f"{bucket}/odd")) == [f"{bucket}/odd/{key}" for key in ["Icon\r", "tab\there", "ü ä/+&%.bin"]]
assert sorted(files.ls(f"{bucket}/files", detail=False)) == [f"{bucket}/files/{n}" for n in [0, 1, 3 * MIB, 70_000]]
assert files.info(f"{bucket}/large")["size"] == 13 * MIB

files.copy(f"{bucket}/files", f"{bucket}/moved", recursive=True)
files.mv(f"{bucket}/files/1", f"{bucket}/one")
files.invalidate_cache()
assert not files.exists(f"{bucket}/files/1")
assert files.cat_file(f"{bucket}/one") == noise(1)
assert files.cat_file(f"{bucket}/moved/70000") == noise(70_000)
folder = os.path.join(os.environ["WORK"], "tree")
files.get(f"{bucket}/moved", folder, recursive=True)
assert sorted(os.listdir(folder)) == ["0", "1", "3145728", "70000"]
files.put(folder, f"{bucket}/again", recursive=True)
assert files.cat_file(f"{bucket}/again/3145728") == noise(3 * MIB)

# Only where nothing is yet: small, and in parts.
for size in [10, 11 * MIB]:
    files.pipe_file(f"{bucket}/once", noise(size), mode="create", chunksize=5 * MIB)
    try:
        files.pipe_file(f"{bucket}/once", b"another" * size, mode="create", chunksize=5 * MIB)
    except FileExistsError:
        pass
    else:
        raise AssertionError("a file was replaced")
    assert files.cat_file(f"{bucket}/once") == noise(size)
    files.rm(f"{bucket}/once")

files.rm(bucket, recursive=True)
assert not files.exists(bucket)
