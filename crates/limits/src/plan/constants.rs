//! What one unit of each thing costs, and how many of it are wanted. Every number of the plan is
//! here.

/// 1,024 bytes.
pub const KIB: u64 = 1 << 10;
/// 1,024 KiB.
pub const MIB: u64 = 1 << 20;
/// 1,024 MiB.
pub const GIB: u64 = 1 << 30;
/// 1,024 GiB.
pub const TIB: u64 = 1 << 40;

/// Memory that drystone takes when no ceiling is asked for, also on a big machine. It is enough for
/// full speed on a few CPUs, and so little that the rest of the machine does not notice it.
pub const MEMORY_ASK_DEFAULT_BYTES: u64 = 256 * MIB;

/// What a process that stores nothing has resident, with a reserve: program text, allocator, libc,
/// SQLite's own structures. It includes what a server's allocator keeps: [`ALLOCATOR_ARENAS`] times
/// [`ALLOCATOR_KEEPS_BYTES`].
pub const FIXED_BYTES: u64 = 20 * MIB;
/// Arenas of a server's allocator. Each thread uses one of them.
pub const ALLOCATOR_ARENAS: u64 = 4;
/// Freed memory that each arena keeps, to use it again.
pub const ALLOCATOR_KEEPS_BYTES: u64 = MIB;
/// Resident share of one thread's stack. The stack is larger, but only pages that were touched
/// count.
pub const THREAD_STACK_BYTES: u64 = 256 * KIB;
/// Room for objects that wait for the group commit. One half fills while the other half is
/// committed. Each half holds about ten thousand small files, so a folder of them costs few syncs.
pub const COMMIT_QUEUE_BYTES: u64 = 16 * MIB;
/// With less, small files are synced in groups of hundreds instead of thousands.
pub const COMMIT_QUEUE_BYTES_MIN: u64 = 4 * MIB;
/// Page cache of a reading database connection: SQLite's own default.
pub const READER_CACHE_BYTES: u64 = 2 * MIB;
/// Page cache of the writing database connection: the pages that one group commit dirties.
pub const WRITER_CACHE_BYTES: u64 = 8 * MIB;
/// With less, a group commit spills to disk before it ends.
pub const WRITER_CACHE_BYTES_MIN: u64 = 2 * MIB;

/// Data part of a buffer: large enough that reading ahead hides the disk and moving the tail costs
/// little.
pub const BUFFER_DATA_BYTES: u64 = 8 * MIB;
/// Below this, system calls and moved tails begin to show.
pub const BUFFER_DATA_BYTES_MIN: u64 = MIB;
/// Data parts are a multiple of this, the page size of nearly every machine.
pub const BUFFER_ALIGN_BYTES: u64 = 4 * KIB;
/// One buffer is filled while the chunks of the other are hashed; with one, reader and workers take
/// turns.
pub const BUFFERS_MIN: u64 = 2;
/// Beyond one buffer for each worker: one that is being filled and one that is being cut.
pub const BUFFERS_BEYOND_WORKERS: u64 = 2;

/// More workers do not help: on the machines that drystone is made for, so many hash faster than
/// the disks write.
pub const WORKERS_MAX: usize = 64;
/// The thread that reads the input: the main thread.
pub const THREADS_READER: u64 = 1;
/// The thread that cuts chunks.
pub const THREADS_CUTTER: u64 = 1;
/// One thread waits for signals, one extends leases.
pub const THREADS_SIGNAL_AND_HEARTBEAT: u64 = 2;

/// Reading connections beyond one for each worker: one for the main thread.
pub const READERS_BEYOND_WORKERS: u64 = 1;
/// More readers than this wait for each other inside SQLite.
pub const READERS_MAX: u64 = 8;
/// With one reader everything still works: the threads take turns.
pub const READERS_MIN: u64 = 1;

/// Data part of a server's buffer: many uploads share the memory, and each comes no faster than the
/// network.
pub const BUFFER_DATA_SERVING_BYTES: u64 = 4 * MIB;
/// Buffers of a server that has the memory: two for each of four uploads at a time, and four for
/// downloads.
pub const BUFFERS_SERVING: u64 = 12;
/// A server that may use more memory than the default has more buffers in proportion, up to so many
/// times as many. With still more uploads at a time, they wait for the disk and not for a buffer.
pub const BUFFERS_SERVING_TIMES_MAX: u64 = 16;
/// A server lets one upload have buffers for each three buffers of its pool. The upload may have
/// two of them, so the third is left to downloads.
pub const BUFFERS_PER_INGEST_SERVING: u64 = 3;
/// A server gives up connections before it goes below this number of buffers.
pub const BUFFERS_SERVING_MIN: u64 = 6;
/// Connections of a server, if no other number is asked for.
pub const CONNECTIONS: u64 = 512;
/// The most that can be asked for.
pub const CONNECTIONS_MAX: u64 = 16_384;
/// With fewer, a browser and a backup at once would be refused.
pub const CONNECTIONS_MIN: u64 = 16;
/// What a connection holds beside a transfer: its socket's read buffer, the head of a request, and
/// its task; then the first 8 KiB of a body with two pieces of it, or 32 KiB of an answer. An
/// archive holds nothing else, however slowly it is read.
pub const CONNECTION_BYTES: u64 = 64 * KIB;
/// What TLS holds for a connection beside that: 32 KiB that wait to be sent, a record of 18 KiB
/// that arrives and 16 KiB of one that has arrived; while hands are shaken a message of 64 KiB
/// instead. The rest is its keys.
pub const TLS_CONNECTION_BYTES: u64 = 80 * KIB;
/// What may wait in TLS to be sent.
pub const TLS_SEND_BYTES: usize = 32 << 10;
/// What a connection holds beyond that while it reads large bodies, and after: two of the server's
/// largest reads. There are as many of them as transfers.
pub const WIDE_CONNECTION_BYTES: u64 = 256 * KIB;
/// Bodies that are sent or received at a time; others wait.
pub const TRANSFERS: u64 = 40;
/// With fewer, one slow client would slow all others down.
pub const TRANSFERS_MIN: u64 = 8;
/// The most that can be asked for: each has a thread.
pub const TRANSFERS_MAX: u64 = 512;
/// What is on its way to a client that takes large pieces: two of 256 KiB. There are as many such
/// answers at a time as transfers.
pub const LARGE_ANSWER_BYTES: u64 = 512 * KIB;
/// Bytes of an upload between the socket and the store, while it has its turn: five of the pieces
/// that a wide connection reads, and a signed chunk, which is kept until all of it has come.
pub const UPLOAD_BYTES: u64 = 832 * KIB;
/// One in so many transfers may be a form whose signature is not known yet. A client needs no key
/// to send such a form, so forms may take only a part of the transfers.
pub const TRANSFERS_PER_FORM: u64 = 4;
/// The fields of such a form, at most 20 KB, and what is made of them to check the policy.
pub const FORM_BYTES: u64 = 256 * KIB;
/// Requests at a time whose body is an XML document or whose answer is a list, which has to be in
/// memory to be understood or made.
pub const DOCUMENTS: u64 = 2;
/// The most that such a document takes, with what is made of it.
pub const DOCUMENT_BYTES: u64 = 16 * MIB;
/// What a short call of the store reads for a request. Measured: one or two rows of the records,
/// each with the properties that came in one head of 16 KiB, or a small object.
pub const CALL_BYTES: u64 = 96 * KIB;
/// Archives that look up their files at a time, each for a moment: they leave most of the threads
/// for calls to other requests.
pub const ARCHIVES: u64 = 2;
/// The rows that such an archive looks up at a time.
pub const ARCHIVE_BYTES: u64 = 256 * KIB;
/// Threads of the runtime itself: one extends the leases of uploads, one reads the configuration
/// again.
pub const THREADS_HEARTBEAT_AND_RELOAD: u64 = 2;
/// Threads for short calls of the store. Requests without a body, and health checks, find one when
/// every transfer is busy.
pub const THREADS_CALLS: u64 = 6;
/// Blocking threads beside those of the transfers: the ones for short calls, and one for each
/// document in memory.
pub const THREADS_BLOCKING_BEYOND_TRANSFERS: u64 = THREADS_CALLS + DOCUMENTS;

/// Standard input, output and error.
pub const DESCRIPTORS_STANDARD: u64 = 3;
/// A connection in WAL mode holds the database, its log and the shared index.
pub const DESCRIPTORS_PER_CONNECTION: u64 = 3;
/// The file that is read or written for the user, and its temporary twin or its directory.
pub const DESCRIPTORS_INPUT_OUTPUT: u64 = 2;
/// The listening socket, the event loop's own, the signal pipe's, and the file in which bytes wait
/// for clients.
pub const DESCRIPTORS_SERVER: u64 = 9;
/// Handles of the store's directories; one segment at a time whose writer is gone and that is
/// opened again to be synced; and a spare for what libraries open for a moment.
pub const DESCRIPTORS_SPARE: u64 = 4;
/// Segments that are kept open for reading: the chunks of one object lie in few segments.
pub const SEGMENT_READERS: u64 = 8;
/// One that is read and one that is read ahead.
pub const SEGMENT_READERS_MIN: u64 = 2;
/// Directories that a folder walk holds open, one for each level; deeper ones are opened again.
pub const WALK_DEPTH: u64 = 8;
/// The directory that is listed and its parent.
pub const WALK_DEPTH_MIN: u64 = 2;
