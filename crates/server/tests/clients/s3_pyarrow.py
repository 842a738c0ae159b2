"""Drives a server with pyarrow, unmodified, which is the AWS SDK for C++.

Needs ENDPOINT, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""

import os
import random

import pyarrow
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet

MIB = 1 << 20

s3 = pyarrow.fs.S3FileSystem(
    access_key=os.environ["AWS_ACCESS_KEY_ID"],
    secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    endpoint_override=os.environ["ENDPOINT"],
    region="us-east-1",
    allow_bucket_creation=True,
    allow_bucket_deletion=True,
)
bucket = f"pyarrow-{os.getpid()}"
s3.create_dir(bucket)


def noise(size):
    return random.Random(size).randbytes(size)


def read(path):
    with s3.open_input_file(path) as file:
        return file.read()


# The last is sent in parts.
sizes = [0, 1, 70_000, 3 * MIB, 25 * MIB]
for size in sizes:
    with s3.open_output_stream(f"{bucket}/files/{size}") as file:
        file.write(noise(size))
    assert read(f"{bucket}/files/{size}") == noise(size), size
with s3.open_output_stream(f"{bucket}/pieces") as file:
    for _ in range(30):
        file.write(noise(MIB))
assert read(f"{bucket}/pieces") == noise(MIB) * 30
with s3.open_input_file(f"{bucket}/pieces") as file:
    assert file.size() == 30 * MIB
    file.seek(5 * MIB)
    assert file.read(1000) == noise(MIB)[:1000]

for key in ["ü ä/+&%.bin", "a=1/b=2/c"]:
    with s3.open_output_stream(f"{bucket}/odd/{key}") as file:
        file.write(key.encode())
    assert read(f"{bucket}/odd/{key}") == key.encode()
found = s3.get_file_info(pyarrow.fs.FileSelector(f"{bucket}/odd", recursive=True))
assert {one.path for one in found if one.is_file} == {f"{bucket}/odd/ü ä/+&%.bin", f"{bucket}/odd/a=1/b=2/c"}, found
found = s3.get_file_info(pyarrow.fs.FileSelector(f"{bucket}/files"))
assert sorted(one.size for one in found) == sizes, found

s3.copy_file(f"{bucket}/files/70000", f"{bucket}/copy")
s3.move(f"{bucket}/copy", f"{bucket}/moved")
assert read(f"{bucket}/moved") == noise(70_000)
assert s3.get_file_info(f"{bucket}/copy").type == pyarrow.fs.FileType.NotFound
s3.delete_file(f"{bucket}/moved")
assert s3.get_file_info(f"{bucket}/moved").type == pyarrow.fs.FileType.NotFound

numbers = list(range(100_000))
table = pyarrow.table({"n": numbers, "third": [str(n % 3) for n in numbers]})
pyarrow.dataset.write_dataset(
    table, f"{bucket}/set", filesystem=s3, format="parquet", partitioning=["third"], partitioning_flavor="hive"
)
dataset = pyarrow.dataset.dataset(f"{bucket}/set", filesystem=s3, format="parquet", partitioning="hive")
assert len(dataset.files) == 3
assert sorted(dataset.to_table()["n"].to_pylist()) == numbers
assert dataset.count_rows(filter=pyarrow.dataset.field("third") == 1) == 33_333
pyarrow.parquet.write_table(table, f"{bucket}/one.parquet", filesystem=s3)
assert pyarrow.parquet.read_table(f"{bucket}/one.parquet", filesystem=s3).equals(table)

s3.delete_dir_contents(bucket)
assert s3.get_file_info(pyarrow.fs.FileSelector(bucket, recursive=True)) == []
s3.delete_dir(bucket)
