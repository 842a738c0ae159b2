// Drives a server with the AWS SDK for JavaScript, version 3, unmodified. Needs ENDPOINT,
// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, in NODE_PATH, the packages of
// javascript/package-lock.json.
"use strict";

const assert = require("node:assert/strict");
const { Readable } = require("node:stream");
const s3 = require("@aws-sdk/client-s3");
const { Upload } = require("@aws-sdk/lib-storage");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");

const MIB = 1 << 20;
const client = new s3.S3Client({ endpoint: process.env.ENDPOINT, region: "us-east-1", forcePathStyle: true });
const Bucket = `javascript-${process.pid}`;
const send = (command) => client.send(command);

function noise(size) {
    const bytes = Buffer.alloc(size);
    let state = size + 1;
    for (let at = 0; at < size; at += 1) {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0;
        bytes[at] = state >>> 16;
    }
    return bytes;
}

/** In pieces, as they come from a socket or a file. */
function stream(bytes) {
    const pieces = [];
    for (let at = 0; at < bytes.length; at += 60_000) pieces.push(bytes.subarray(at, at + 60_000));
    return Readable.from(pieces, { objectMode: false });
}

async function get(Key, more = {}) {
    const found = await send(new s3.GetObjectCommand({ Bucket, Key, ...more }));
    return Buffer.from(await found.Body.transformToByteArray());
}

async function puts() {
    for (const size of [0, 1, 70_000, 3 * MIB]) {
        const body = noise(size);
        await send(new s3.PutObjectCommand({ Bucket, Key: `bytes/${size}`, Body: body }));
        assert.ok((await get(`bytes/${size}`)).equals(body), `bytes ${size}`);
        // A stream is sent in frames, and without a length of its own.
        await send(new s3.PutObjectCommand({ Bucket, Key: `stream/${size}`, Body: stream(body), ContentLength: size }));
        assert.ok((await get(`stream/${size}`)).equals(body), `stream ${size}`);
        const head = await send(new s3.HeadObjectCommand({ Bucket, Key: `stream/${size}` }));
        assert.equal(head.ContentLength, size);
        assert.equal(head.ContentEncoding, undefined);
    }
    assert.ok((await get("stream/70000", { Range: "bytes=10-19" })).equals(noise(70_000).subarray(10, 20)));
}

async function uploads() {
    // Nothing says how long it is: in one piece, and in parts.
    for (const size of [70_000, 12 * MIB]) {
        const body = noise(size);
        await new Upload({ client, params: { Bucket, Key: `upload/${size}`, Body: stream(body) } }).done();
        assert.ok((await get(`upload/${size}`)).equals(body), `upload ${size}`);
    }
    const begun = await send(new s3.CreateMultipartUploadCommand({ Bucket, Key: "parts" }));
    const named = { Bucket, Key: "parts", UploadId: begun.UploadId };
    const body = noise(5 * MIB);
    const parts = [];
    for (const PartNumber of [1, 2]) {
        const part = { ...named, PartNumber, Body: stream(body), ContentLength: body.length };
        parts.push({ PartNumber, ETag: (await send(new s3.UploadPartCommand(part))).ETag });
    }
    await send(new s3.CompleteMultipartUploadCommand({ ...named, MultipartUpload: { Parts: parts } }));
    assert.ok((await get("parts")).equals(Buffer.concat([body, body])));
}

async function keys() {
    const names = ["a&b", "a\rb", "b\tc", "d\ne", "ü ä+%25", "<x>", "q?x=1#y"].sort();
    for (const name of names) {
        await send(new s3.PutObjectCommand({ Bucket, Key: `odd/${name}`, Body: name }));
        assert.equal((await get(`odd/${name}`)).toString(), name);
    }
    const listed = await send(new s3.ListObjectsV2Command({ Bucket, Prefix: "odd/" }));
    assert.deepEqual(listed.Contents.map((one) => one.Key).sort(), names.map((name) => `odd/${name}`));
    const Objects = names.map((name) => ({ Key: `odd/${name}` }));
    const deleted = await send(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    assert.deepEqual(deleted.Deleted.map((one) => one.Key).sort(), Objects.map((one) => one.Key));
    assert.equal((await send(new s3.ListObjectsV2Command({ Bucket, Prefix: "odd/" }))).KeyCount, 0);
    await assert.rejects(get("odd/a&b"), { name: "NoSuchKey" });
}

async function presigned() {
    const url = await getSignedUrl(client, new s3.PutObjectCommand({ Bucket, Key: "presigned" }), { expiresIn: 60 });
    assert.equal((await fetch(url, { method: "PUT", body: "presigned" })).status, 200);
    const back = await getSignedUrl(client, new s3.GetObjectCommand({ Bucket, Key: "presigned" }), { expiresIn: 60 });
    assert.equal(await (await fetch(back)).text(), "presigned");
}

async function main() {
    await send(new s3.CreateBucketCommand({ Bucket }));
    await puts();
    await uploads();
    await keys();
    await presigned();
    const pages = s3.paginateListObjectsV2({ client, pageSize: 3 }, { Bucket });
    const Objects = [];
    for await (const page of pages) Objects.push(...(page.Contents ?? []).map(({ Key }) => ({ Key })));
    assert.equal(Objects.length, 12);
    await send(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }));
    await send(new s3.DeleteBucketCommand({ Bucket }));
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
